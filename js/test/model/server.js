// A server with topics that keep and topics that do not, as far as clients can tell it from a real one.

/** What a topic remembers. */
const KEPT_MAX = 12;

const positionOf = ({ epoch, offset }) => `${epoch}:${offset}`;

export class Server {
  /** What was pushed, by its id, and how often. */
  handled = new Map();
  /** What no client may do. */
  faults = [];
  #topics = new Map();
  #epochs = 0;
  /** What each session has joined: by topic, the join ref and whether it asked for positions. */
  #sessions = new Map();
  /** Topics whose next join is refused. */
  #refusing = new Set();

  #isOwn;

  /** `isOwn` says whether a page has itself made a join of a session. */
  constructor(isOwn) {
    this.#isOwn = isOwn;
  }

  open(session) {
    this.#sessions.set(session, { joins: new Map(), gone: new Set() });
  }

  close(session) {
    this.#sessions.delete(session);
  }

  refuseNext(topic) {
    this.#refusing.add(topic);
  }

  /** Nobody is refused any more. */
  forgive() {
    this.#refusing.clear();
  }

  /** All is forgotten, as by a restart. */
  forget() {
    this.#topics.clear();
  }

  /** What is kept of a topic is forgotten but for its last message. */
  trim(topic) {
    this.#topicOf(topic).ring.splice(0, KEPT_MAX - 1);
  }

  offsetOf(topic) {
    return this.#topicOf(topic).offset;
  }

  publish(topic) {
    const kept = this.#topicOf(topic);
    kept.offset += 1;
    kept.ring.push(kept.offset);
    if (kept.ring.length > KEPT_MAX) kept.ring.shift();
    for (const [session, { joins }] of this.#sessions) {
      const join = joins.get(topic);
      if (join) session.hears(messageOf(topic, kept.offset, join.asked));
    }
  }

  /** A join crashes. Returns its join ref, if there was one. */
  crash(session, topic) {
    const { joins, gone } = this.#sessions.get(session);
    const join = joins.get(topic);
    gone.add(topic);
    if (join) session.hears(JSON.stringify([join.ref, join.ref, topic, "phx_error", {}]));
    joins.delete(topic);
    return join?.ref;
  }

  /** The topics that a session has joined. */
  topicsOf(session) {
    return [...(this.#sessions.get(session)?.joins.keys() ?? [])];
  }

  handle(session, frame) {
    const [joinRef, ref, topic, event, payload] = JSON.parse(frame);
    const reply = (status, response = {}) => session.hears(JSON.stringify([joinRef, ref, topic, "phx_reply", { status, response }]));
    const { joins, gone } = this.#sessions.get(session);
    const join = joins.get(topic);
    if (event === "phx_join") return this.#join(session, { joinRef, topic, payload, reply });
    if (topic === "phoenix") return reply("ok");
    // What has no join ref is for whatever join there is.
    if (!join || (joinRef !== null && join.ref !== joinRef)) {
      if (event !== "phx_leave" && !gone.has(topic)) this.faults.push(`${event} with ${joinRef} on ${topic}, joined with ${join?.ref}`);
      return event === "phx_leave" ? reply("ok") : reply("error", { reason: "unmatched topic" });
    }
    if (event === "phx_leave") {
      joins.delete(topic);
      gone.add(topic);
      reply("ok");
      return session.hears(JSON.stringify([join.ref, join.ref, topic, "phx_close", {}]));
    }
    this.handled.set(payload.id, (this.handled.get(payload.id) ?? 0) + 1);
    this.publish(topic);
    if (event === "say") reply("ok", { id: payload.id });
  }

  #join(session, { joinRef, topic, payload, reply }) {
    const { joins, gone } = this.#sessions.get(session);
    const before = joins.get(topic);
    if (before && !this.#isOwn(session, before.ref)) this.faults.push(`${topic} is joined with ${before.ref}, and with ${joinRef}`);
    if (before) session.hears(JSON.stringify([before.ref, before.ref, topic, "phx_close", {}]));
    joins.delete(topic);
    if (this.#refusing.delete(topic)) {
      gone.add(topic);
      return reply("error", { reason: "unauthorized" });
    }
    const asked = topic.startsWith("kept:") && payload._since !== undefined;
    joins.set(topic, { ref: joinRef, asked });
    if (!asked) return reply("ok");
    const kept = this.#topicOf(topic);
    const missed = this.#missed(kept, payload._since);
    if (!missed) return reply("ok", { _at: positionOf(kept), _recovered: false, _replayed: 0, _reason: "epoch" });
    const at = positionOf({ epoch: kept.epoch, offset: kept.offset - missed.length });
    reply("ok", { _at: at, _recovered: true, _replayed: missed.length });
    for (const offset of missed) session.hears(messageOf(topic, offset, true));
  }

  /** What a join gets; `null` if that is not all. */
  #missed({ epoch, offset, ring }, since) {
    if (since === "") return [];
    const [of, at] = since.split(":").map(Number);
    if (of !== epoch || at > offset || offset - at > ring.length) return null;
    return ring.slice(ring.length - (offset - at));
  }

  #topicOf(topic) {
    if (!this.#topics.has(topic)) this.#topics.set(topic, { epoch: (this.#epochs += 1), offset: 0, ring: [] });
    return this.#topics.get(topic);
  }
}

function messageOf(topic, offset, asked) {
  return JSON.stringify([null, asked ? `@${offset}` : null, topic, "said", { offset }]);
}
