// Which attachment carries a session: races transports, replaces attachments that die, and climbs to better ones.

import { now } from "./clock.js";

/** A resume that takes over from an attachment that works must be answered within this, or within so many round trips. */
const PROOF = { ms: 600, trips: 5 };
/** An attempt on a path whose round trip is known need not be given as long as one on an unknown path. */
const ATTEMPT = { ms: 2_000, trips: 20 };
/** How long a transport that was seen to die young has to last before it gets the session. */
const SETTLE_MS = 2_000;
/** Attachments that die younger than this are replaced ever more slowly. */
const HASTY_MS = 1_000;
/** So many times as long as an attempt on an unknown path may take, at most, where nobody has answered before. */
const SLOW_MAX = 2;
/** A server that goes down ends its WebSockets so, which says nothing of the way there. */
const RESTART = "closed 1012";
/** So many times in a row the pause stays as short as it can be. */
const QUICK_TRIES = 3;
/** Failures that are remembered, for `status()`. */
const FAILURES_MAX = 20;

/** What a page wants that wants nothing in particular: no transport before the others, and none that it does not use. */
export function noWishes(transports) {
  return { allowed: new Set(transports), pinned: null };
}

/**
 * The attachments of one session: the current one, and the candidates for its place.
 *
 * The session tells it what its attachments did: `greeted`, `proven` and `ended`. An attachment is proven when the server's first
 * line came by it; then all others are let go. The race never calls the session: it opens attachments by `open(name, { isProbe,
 * settleMs })`, asks `network()` for `{ rtt, isOnline }`, and calls `on.lost()` after a round that came to nothing and
 * `on.changed()` when there is something else to show. `wishes` are the page's, which the races of its sessions share.
 */
export class Race {
  current = null;
  /** When and why the current attachment became it; `sinceTime` is for people. */
  since = 0;
  sinceTime = 0;
  why = "";
  failures = [];
  #options;
  #transports;
  #chooser;
  #open;
  #network;
  #on;
  #candidates = new Map();
  #queue = [];
  #wishes;
  /** The transport that was superseded before its successor was proven, which may be heard in either order. */
  #superseded = null;
  #climbAt = null;
  #tries = 0;
  /** Rounds in a row in which nobody was proven and somebody said nothing. */
  #silences = 0;
  /** How often in this round those that failed were started again. */
  #repeats = 0;
  #racingSince = null;
  #timers = {};

  constructor({ options, transports, chooser, wishes = noWishes(transports), open, network, on }) {
    this.#options = options;
    this.#transports = transports;
    this.#wishes = wishes;
    this.#chooser = chooser;
    this.#open = open;
    this.#network = network;
    this.#on = on;
  }

  /** Starts the transports one after the other, until one is proven. */
  start() {
    this.#clear("retry");
    this.#racingSince = now();
    this.#repeats = 0;
    this.#queue = this.#chooser.order(this.allowed, now()).filter((name) => !this.#candidates.has(name));
    this.#startNext();
  }

  /** Starts soon: at once, or after a pause that grows with each failure in a row. */
  startSoon(isAtOnce) {
    const { min, max } = this.#options.retryMs;
    const pause = min * 2 ** Math.max(0, this.#tries - QUICK_TRIES) * (1 + 2 * Math.random());
    this.#tries += 1;
    this.#set("retry", isAtOnce && this.#tries === 1 ? 0 : Math.min(max, pause), () => this.start());
  }

  /** The network is another one: what is known of the old one counts no more. */
  startOver() {
    for (const name of this.allowed) this.#chooser.forget(name);
    this.#planClimb(true);
    this.hurry();
  }

  /** Something has changed for the better: no pause. */
  hurry() {
    this.#tries = this.#silences = 0;
    if (!this.current && this.#candidates.size === 0) this.start();
  }

  /** A candidate has asked for the session. */
  greeted(attachment) {
    const candidate = this.#candidateOf(attachment);
    if (candidate?.isClimbing) this.#expect(candidate, PROOF);
  }

  /** The attachment is proven: from now on it carries the session. */
  proven(attachment) {
    const at = now();
    const candidate = this.#candidateOf(attachment);
    const before = this.current;
    before?.drop();
    clearTimeout(candidate.deadline);
    this.#candidates.delete(attachment.name);
    this.#racingSince = null;
    this.#silences = 0;
    this.#clear("stagger", "again", "retry");
    this.why = this.#reason(candidate, before?.name ?? this.#superseded);
    this.#superseded = null;
    if (before) this.#chooser.carried(before.name, at - this.since);
    this.#chooser.proved(attachment.name, at);
    this.#dropOthers(attachment);
    this.current = attachment;
    this.since = at;
    this.sinceTime = Date.now();
    this.#planClimb();
  }

  /** An attachment has come to its end by itself. */
  ended(attachment, how) {
    if (attachment === this.current) return this.#died(how);
    const candidate = this.#candidateOf(attachment);
    if (candidate) this.#failed(candidate, how);
  }

  /** Lets go of everything. Sessions that candidates may have opened are closed. */
  stop() {
    this.#clear("stagger", "again", "retry", "climb");
    for (const { attachment, deadline } of this.#candidates.values()) {
      clearTimeout(deadline);
      attachment?.retire();
    }
    this.#candidates.clear();
    this.#queue = [];
    this.current?.drop();
    this.current = null;
  }

  /** Loses the current attachment, as by a network that fails. */
  cut() {
    this.current?.end("cut");
  }

  /** Prefers a transport to all others, even to better ones; without a name none any more. */
  prefer(name) {
    this.#wishes.pinned = name ?? null;
    if (name) this.#chooser.forget(name);
    this.#planClimb(true);
  }

  allow(name) {
    this.#wishes.allowed.add(name);
    this.#chooser.forget(name);
    this.#planClimb(true);
  }

  forbid(name) {
    this.#wishes.allowed.delete(name);
    this.#planClimb(true);
  }

  /** The transports that may be used, best first. */
  get allowed() {
    const names = this.#transports.filter((name) => this.#wishes.allowed.has(name));
    const isPinned = (name) => name === this.#wishes.pinned;
    return [...names.filter(isPinned), ...names.filter((name) => !isPinned(name))];
  }

  /** What runs for the current attachment's place. */
  get trying() {
    return [...this.#candidates.values()].filter(({ how }) => !how).map(({ name }) => name);
  }

  /** When something better is tried, if it is. */
  get climbAt() {
    return this.#climbAt;
  }

  #startNext() {
    this.#clear("stagger");
    const name = this.#queue.shift();
    if (!name) return this.#endRoundIfLost();
    this.#start(name);
    if (this.#queue.length) this.#set("stagger", this.#staggerMs(), () => this.#startNext());
    else this.#planAgain();
  }

  // With a known round trip there is no need to wait as long as a stranger has to.
  #staggerMs() {
    const { staggerMs } = this.#options;
    const { rtt } = this.#network();
    return rtt === undefined ? staggerMs : Math.min(staggerMs, Math.max(staggerMs / 2, 6 * rtt));
  }

  #start(name) {
    const isClimbing = this.current !== null;
    const settleMs = isClimbing && this.#chooser.isShortLived(name) ? SETTLE_MS : 0;
    const candidate = { name, isClimbing, how: null, startedAt: now() };
    this.#expect(candidate, ATTEMPT, settleMs);
    this.#candidates.set(name, candidate);
    candidate.attachment = this.#open(name, { isProbe: isClimbing, settleMs });
  }

  #expect(candidate, { ms, trips }, settleMs = 0) {
    const { rtt } = this.#network();
    const { attemptMs } = this.#options;
    const usual = rtt === undefined ? attemptMs : Math.min(attemptMs, Math.max(ms, trips * rtt));
    // What was measured counts no more where nobody answered: the path, or the page's machine, may have become slow.
    const within = this.#silences === 0 ? usual : attemptMs * Math.min(this.#silences, SLOW_MAX);
    clearTimeout(candidate.deadline);
    candidate.deadline = setTimeout(() => this.#failed(candidate, "silent"), within + settleMs);
  }

  #failed(candidate, how) {
    if (candidate.how) return;
    candidate.how = how;
    clearTimeout(candidate.deadline);
    candidate.attachment.retire();
    this.#note(candidate.name, how);
    if (this.current) {
      this.#candidates.delete(candidate.name);
      this.#recordMiss(candidate);
      this.#planClimb();
    } else if (this.#queue.length) {
      this.#startNext();
    } else if (this.#superseded) {
      this.#goBack(candidate);
    } else {
      this.#planAgain();
      this.#endRoundIfLost();
    }
    this.#on.changed();
  }

  // It took the session from one that was well, and could not carry it: the other is started again, and it is left alone.
  #goBack(candidate) {
    this.#superseded = null;
    this.#candidates.delete(candidate.name);
    this.#recordMiss(candidate);
    this.#tries = 0;
    this.start();
  }

  // Those that are left say nothing, and may be mute. What was refused at once may have been by chance: it need not wait for them.
  #planAgain() {
    const isRefused = ({ how }) => how && how !== "silent";
    const { min, max } = this.#options.retryMs;
    const ms = Math.min(max, min * 2 ** this.#repeats);
    this.#set("again", ms, () => {
      this.#repeats += 1;
      this.#queue = [...this.#candidates.values()].filter(isRefused).map(({ name }) => name);
      if (this.#queue.length) this.#startNext();
    });
  }

  // The round is lost when nobody runs any more.
  #endRoundIfLost() {
    const candidates = [...this.#candidates.values()];
    if (this.current || candidates.some(({ how }) => !how)) return;
    this.#clear("again");
    this.#candidates.clear();
    if (candidates.some(({ how }) => how === "silent")) this.#silences += 1;
    const isAway = this.#racingSince && candidates.every(({ how }) => how !== "silent");
    if (isAway) this.#chooser.away(this.#racingSince, now());
    this.#racingSince = null;
    this.#on.lost();
  }

  #died(how) {
    const at = now();
    const { name } = this.current;
    const age = at - this.since;
    this.current = null;
    this.#superseded = null;
    this.#clear("climb");
    // Its successor is on its way: it has only been faster than the news.
    if (how === "superseded" && this.trying.length) return void (this.#superseded = name);
    this.#note(name, how);
    const isWanted = how === "cut" || how === "superseded";
    const isItsFault = !isWanted && how !== RESTART;
    if (isItsFault && this.#network().isOnline) this.#chooser.died(name, how, age, at, Math.random());
    if (isWanted || age > HASTY_MS) this.#tries = 0;
    // There was a wait for an answer already: no more of it.
    if (this.trying.length === 0) this.startSoon(how === "mute" || how === "post");
    this.#on.changed();
  }

  #dropOthers(winner) {
    const allowed = this.allowed;
    for (const candidate of this.#candidates.values()) {
      const { name, attachment, how, deadline } = candidate;
      clearTimeout(deadline);
      // Only what was preferred had its chance: the others were started later.
      const hadChance = allowed.indexOf(name) < allowed.indexOf(winner.name);
      if (hadChance) this.#recordMiss(candidate);
      if (how) continue;
      attachment.retire();
      // Nothing is known of it but that it takes longer than this: a try that is not cut short shows whether it answers at all.
      this.#note(name, "slower", now() - candidate.startedAt);
    }
    this.#candidates.clear();
    this.#queue = [];
  }

  #recordMiss({ name, how, startedAt }) {
    if (how === "overtaken" || !this.#network().isOnline) return;
    this.#chooser.missed(name, how ?? "silent", startedAt, now(), Math.random());
  }

  #planClimb(isAtOnce = false) {
    this.#clear("climb");
    this.#climbAt = null;
    if (!this.current) return;
    const next = this.#chooser.climb(this.current.name, isAtOnce ? -Infinity : this.since, this.allowed);
    if (!next || this.#candidates.has(next.name)) return;
    const ms = Math.max(0, next.at - now());
    this.#climbAt = { transport: next.name, at: Date.now() + ms };
    this.#set("climb", ms, () => this.#climb(next.name));
  }

  #climb(name) {
    this.#climbAt = null;
    if (this.current && !this.#candidates.has(name)) this.#start(name);
  }

  #reason(candidate, before) {
    const ms = now() - candidate.startedAt;
    const missed = [...this.#candidates.values()].map(({ name, how }) => `${name}: ${how ?? "silent"}`);
    const others = missed.length ? `; ${missed.join(", ")}` : "";
    return `${this.#advantage(candidate.name, before)}proven after ${ms} ms${others}`;
  }

  // What it has over an attachment that was well.
  #advantage(name, before) {
    if (!before) return "";
    if (!this.#wishes.allowed.has(before)) return `${before} is forbidden, `;
    return `${name === this.#wishes.pinned ? "preferred to" : "better than"} ${before}, `;
  }

  #note(transport, how, ms) {
    this.failures.push({ transport, how, at: Date.now(), ...(ms !== undefined && { ms }) });
    if (this.failures.length > FAILURES_MAX) this.failures.shift();
  }

  #candidateOf(attachment) {
    const candidate = this.#candidates.get(attachment.name);
    // One that says hello in its constructor is not known to its candidate yet.
    return !candidate?.attachment || candidate.attachment === attachment ? candidate : undefined;
  }

  #set(timer, ms, deed) {
    clearTimeout(this.#timers[timer]);
    this.#timers[timer] = setTimeout(deed, Math.max(0, ms));
  }

  #clear(...timers) {
    for (const timer of timers) clearTimeout(this.#timers[timer]);
  }
}
