// What a page has joined, and what becomes of it when its session is lost and another one is opened. Pure.
//
//        page joins              ok, with _at                session lost                 ok, _recovered
//     ───────────────▶ asking ─────────────────▶ kept ─────────────────────▶ rejoining ──────────────────▶ kept
//                        │ ▲                                                  │   │ ▲
//                        │ └ session lost: the same join again                │   └─┘ session lost: the same join again
//                        │ ok, without _at                                    │ refused, or not all can be had
//                        ▼                                                    ▼
//                      plain ────────────── session lost ──────────────▶ a gap: the page is told, and its channel
//                                                                        has an error, after which it joins again by itself
//
// The same names are used in each session, join refs above all, so that nothing has to be translated. Laws, for every order of
// losses, joins, leaves and messages:
//
//  1. Between the reply to a join and the next error of its channel, a page gets every message of a kept topic once and in order.
//  2. What a page pushes is sent once. If it may have been sent in a session that was lost, and was not answered, it is answered
//     with the error `lost`; if it certainly was not, the next session has it behind the join.
//  3. The page hears no answer to what it has not sent.
//  4. An error of a channel that comes from here has a gap before it, and each gap an error behind it, unless the page leaves.

import { headOfReceived, headOfSent, payloadOf, write } from "./messages.js";

/**
 * So many pushes are known that have no answer yet; of those before, the page learns by its own timeout. Most messages that are never
 * answered are short and many, cursors for example, and each takes about 200 bytes here.
 */
const PUSHES_MAX = 1_000;

/** The topic of what concerns no channel. */
const PHOENIX = "phoenix";
const GAPS = { plain: "not_kept", refused: "refused", late: "timeout" };

/** Nothing is handed on, and nothing to be done. */
const nothing = () => ({ send: [], deliver: [], tell: [] });

/**
 * The joins of one page, and its pushes without an answer.
 *
 * What is to be done is returned: frames to `send` to the server and to `deliver` to the page, and what to `tell` it:
 * `{ type: "gap", topic, reason }` or `{ type: "recovered", topic, replayed }`.
 */
export class Joins {
  /** By topic: `{ joinRef, ref, payload, state, at }`. */
  #joins = new Map();
  /** By ref: `{ joinRef, topic, event }`. */
  #pushes = new Map();
  /** Refs of this session's messages that the page has not sent. */
  #hidden = new Set();
  /** By topic: a join of which the page knows nothing, and that is being left: `{ joinRef, ref, isOver }`. */
  #left = new Map();

  /** Whether a page would keep something if its session was lost. */
  get isKept() {
    return [...this.#joins.values()].some(({ at }) => at !== null);
  }

  /** Whether all joins of a session that was lost have been answered in this one. */
  get isSettled() {
    return ![...this.#joins.values()].some(({ state }) => state === "rejoining");
  }

  /** The page sends a frame. */
  handleSent(frame) {
    const head = headOfSent(frame);
    if (!head || head.ref === null) return;
    const { joinRef, ref, topic, event } = head;
    if (event === "phx_join" && typeof frame === "string") {
      this.#joins.set(topic, { joinRef, ref, payload: payloadOf(frame), state: "asking", at: null });
      return;
    }
    if (event === "phx_leave" && isFor(this.#joins.get(topic), joinRef)) this.#joins.delete(topic);
    this.#pushes.set(ref, { joinRef, topic, event });
    if (this.#pushes.size > PUSHES_MAX) this.#pushes.delete(this.#pushes.keys().next().value);
  }

  /** A frame has come: `null` if it is to be handed on, and nothing else. */
  handleReceived(frame) {
    const head = headOfReceived(frame);
    if (!head) return null;
    if (head.event === "phx_reply") return this.#handleReply(head, frame);
    const { joinRef, ref, topic, event } = head;
    const left = this.#left.get(topic);
    // A broadcast has no join ref. What comes before the leave is answered is for the join that is left.
    if (left && (joinRef === null ? !left.isOver : joinRef === left.joinRef)) return nothing();
    const join = this.#joins.get(topic);
    if (join && /^phx_(close|error)$/.test(event) && joinRef === join.joinRef) this.#joins.delete(topic);
    else if (join?.state === "kept" && ref?.startsWith("@")) join.at = join.at.replace(/\d*$/, ref.slice(1));
    return null;
  }

  /** The session is lost. `unsent` are the frames that certainly have not left it, oldest first. What is to be sent is for the next one. */
  handleLost(unsent) {
    const hidden = this.#hidden;
    this.#hidden = new Set();
    this.#left.clear();
    const { frames, refs } = this.#stillGood(unsent, hidden);
    const deeds = nothing();
    this.#answerPushes(deeds, refs);
    for (const [topic, join] of this.#joins) this.#joinAgain(deeds, topic, join);
    deeds.ownCount = deeds.send.length;
    deeds.send.push(...frames);
    return deeds;
  }

  /** It takes too long: what has no answer is given up. */
  giveUp() {
    const deeds = nothing();
    for (const [topic, join] of this.#joins) {
      if (join.state === "rejoining") this.#gap(deeds, topic, join, GAPS.late);
    }
    return deeds;
  }

  #handleReply({ ref, topic, status }, frame) {
    const join = this.#joins.get(topic);
    if (this.#hidden.delete(ref)) {
      const left = this.#left.get(topic);
      if (left?.ref === ref) left.isOver = true;
      return join?.ref === ref && join.state === "rejoining" ? this.#rejoined(topic, join, replyOf(frame, status)) : nothing();
    }
    if (join?.state === "asking" && join.ref === ref) {
      const { isOk, response } = replyOf(frame, status);
      if (!isOk) this.#joins.delete(topic);
      else this.#place(join, response._at);
    } else {
      this.#pushes.delete(ref);
    }
    return null;
  }

  #rejoined(topic, join, { isOk, response }) {
    const deeds = nothing();
    if (!isOk) this.#gap(deeds, topic, join, GAPS.refused, false);
    else if (response._recovered !== true) this.#gap(deeds, topic, join, response._reason ?? GAPS.plain);
    else {
      this.#place(join, response._at);
      deeds.tell.push({ type: "recovered", topic, replayed: response._replayed });
    }
    return deeds;
  }

  #place(join, at) {
    const isKept = typeof at === "string";
    join.state = isKept ? "kept" : "plain";
    join.at = isKept ? at : null;
  }

  // The page is told, and joins again by itself. The join of which it knows nothing must be gone by then, and whatever that hears.
  #gap(deeds, topic, { joinRef }, reason, isJoined = true) {
    this.#joins.delete(topic);
    deeds.tell.push({ type: "gap", topic, reason });
    deeds.deliver.push(write(joinRef, joinRef, topic, "phx_error"));
    if (!isJoined) return;
    const ref = `lapwing:${joinRef}`;
    this.#hidden.add(ref);
    this.#left.set(topic, { joinRef, ref, isOver: false });
    deeds.send.push(write(joinRef, ref, topic, "phx_leave"));
  }

  // Joins and leaves are made anew, or need not be.
  #stillGood(unsent, hidden) {
    const frames = [];
    const refs = new Set();
    for (const frame of unsent) {
      const head = headOfSent(frame);
      const { joinRef, ref, topic, event } = head ?? {};
      const join = this.#joins.get(topic);
      const isOfChannel = head && topic !== PHOENIX;
      if (isOfChannel && (/^phx_(join|leave)$/.test(event) || hidden.has(ref))) continue;
      if (isOfChannel && (!isFor(join, joinRef) || join.state === "plain")) continue;
      frames.push(frame);
      refs.add(ref);
    }
    return { frames, refs };
  }

  // Whether they were heard is not known, but of a leave that it is as good as done, and of a heartbeat that it can be repeated.
  #answerPushes(deeds, refs) {
    for (const [ref, { joinRef, topic, event }] of this.#pushes) {
      if (refs.has(ref)) continue;
      if (topic === PHOENIX && event === "heartbeat") {
        deeds.send.push(write(joinRef, ref, topic, event));
        continue;
      }
      this.#pushes.delete(ref);
      const answer = event === "phx_leave" ? { status: "ok", response: {} } : { status: "error", response: { reason: "lost" } };
      deeds.deliver.push(write(joinRef, ref, topic, "phx_reply", answer));
    }
  }

  #joinAgain(deeds, topic, join) {
    const { joinRef, ref, payload, state, at } = join;
    if (state === "asking") {
      deeds.send.push(write(joinRef, ref, topic, "phx_join", payload));
    } else if (state === "plain") {
      this.#gap(deeds, topic, join, GAPS.plain, false);
    } else {
      join.state = "rejoining";
      this.#hidden.add(ref);
      deeds.send.push(write(joinRef, ref, topic, "phx_join", { ...payload, _since: at }));
    }
  }
}

// As the server sees it: what has no join ref is for whatever join there is.
function isFor(join, joinRef) {
  return join !== undefined && (joinRef === null || joinRef === join.joinRef);
}

function replyOf(frame, status) {
  const { response = {}, ...reply } = payloadOf(frame);
  return { isOk: (status ?? reply.status) === "ok", response: response ?? {} };
}
