// Gets a session carried: races transports, replaces wires that die, and climbs to better ones.

import { now } from "./clock.js";
import { LongPollWire } from "./transports/longpoll.js";
import { SseWire } from "./transports/sse.js";
import { WebSocketWire } from "./transports/websocket.js";

const WIRES = { websocket: WebSocketWire, sse: SseWire, longpoll: LongPollWire };

/** A resume that takes over from a wire that works must be answered within this, or within so many round trips. */
const PROOF = { ms: 600, trips: 5 };
/** An attempt on a path whose round trip is known need not be given as long as one on an unknown path. */
const ATTEMPT = { ms: 2_000, trips: 20 };
/** How long a transport that was seen to die young has to last before it gets the session. */
const SETTLE_MS = 2_000;
/** Wires that die younger than this are replaced ever more slowly. */
const HASTY_MS = 1_000;
/** So many times in a row the pause stays as short as it can be. */
const QUICK_TRIES = 3;
/** What is remembered of failures, for whoever wants to know. */
const FAILURES_MAX = 20;

/**
 * The wires of one session: the current one, and those that run for its place.
 *
 * A wire wins when it is proven, which is when the server's first line came by it. Then all others are let go.
 */
export class Carrier {
  current = null;
  /** When and why the current wire became it; `sinceTime` is for people. */
  since = 0;
  sinceTime = 0;
  why = "";
  failures = [];
  #session;
  #chooser;
  #runners = new Map();
  #queue = [];
  #allowed;
  #pinned = null;
  #climbAt = null;
  #tries = 0;
  /** How often in this round those that failed were started again. */
  #repeats = 0;
  #racingSince = null;
  #timers = {};

  constructor(session, chooser, allowed) {
    this.#session = session;
    this.#chooser = chooser;
    this.#allowed = new Set(allowed);
  }

  /** Starts the transports one after the other, until one is proven. */
  race() {
    this.#clear("retry");
    this.#racingSince = now();
    this.#repeats = 0;
    this.#queue = this.#chooser.order(this.allowed, now()).filter((name) => !this.#runners.has(name));
    this.#startNext();
  }

  /** Races soon: at once, or after a pause that grows with each failure in a row. */
  raceSoon(isAtOnce) {
    const { min, max } = this.#session.options.retryMs;
    const pause = min * 2 ** Math.max(0, this.#tries - QUICK_TRIES) * (1 + 2 * Math.random());
    this.#tries += 1;
    this.#set("retry", isAtOnce && this.#tries === 1 ? 0 : Math.min(max, pause), () => this.race());
  }

  /** The network is another one: what is known of the old one counts no more. */
  startOver() {
    for (const name of this.allowed) this.#chooser.forgive(name);
    this.#planClimb(true);
    this.hurry();
  }

  /** Something has changed for the better: no pause. */
  hurry() {
    this.#tries = 0;
    if (!this.current && this.#runners.size === 0) this.race();
  }

  /** A runner has asked for the session. */
  handleGreeting(wire) {
    const runner = this.#runnerOf(wire);
    if (runner?.isClimbing) this.#expect(runner, PROOF);
  }

  /** The wire is proven: from now on it carries the session. */
  win(wire) {
    const at = now();
    const runner = this.#runnerOf(wire);
    const before = this.current;
    before?.drop();
    clearTimeout(runner.deadline);
    this.#runners.delete(wire.name);
    this.#racingSince = null;
    this.#clear("stagger", "again", "retry");
    this.why = this.#reason(runner, before);
    if (before) this.#chooser.carried(before.name, at - this.since);
    this.#chooser.proved(wire.name, at);
    this.#dismissLosers(wire);
    this.current = wire;
    this.since = at;
    this.sinceTime = Date.now();
    this.#planClimb();
  }

  /** A wire has come to its end by itself. */
  handleEnd(wire, how) {
    if (wire === this.current) return this.#died(how);
    const runner = this.#runnerOf(wire);
    if (runner) this.#failed(runner, how);
  }

  /** Lets go of everything. Sessions that runners may have opened are closed. */
  stop() {
    this.#clear("stagger", "again", "retry", "climb");
    for (const { wire, deadline } of this.#runners.values()) {
      clearTimeout(deadline);
      wire?.retire();
    }
    this.#runners.clear();
    this.#queue = [];
    this.current?.drop();
    this.current = null;
  }

  /** Loses the current wire, as by a network that fails. */
  cut() {
    this.current?.end("cut");
  }

  /** Prefers a transport to all others, even to better ones; without a name none any more. */
  prefer(name) {
    this.#pinned = name ?? null;
    if (name) this.#chooser.forgive(name);
    this.#planClimb(true);
  }

  allow(name) {
    this.#allowed.add(name);
    this.#chooser.forgive(name);
    this.#planClimb(true);
  }

  forbid(name) {
    this.#allowed.delete(name);
    this.#planClimb(true);
  }

  /** The transports that may be used, best first. */
  get allowed() {
    const names = this.#session.transports.filter((name) => this.#allowed.has(name));
    const isPinned = (name) => name === this.#pinned;
    return [...names.filter(isPinned), ...names.filter((name) => !isPinned(name))];
  }

  /** What runs for the current wire's place. */
  get trying() {
    return [...this.#runners.values()].filter(({ how }) => !how).map(({ name }) => name);
  }

  /** When something better is tried, if it is. */
  get climbAt() {
    return this.#climbAt;
  }

  #startNext() {
    this.#clear("stagger");
    const name = this.#queue.shift();
    if (!name) return this.#judge();
    this.#start(name);
    if (this.#queue.length) this.#set("stagger", this.#staggerMs(), () => this.#startNext());
    else this.#planAgain();
  }

  // With a known round trip there is no need to wait as long as a stranger has to.
  #staggerMs() {
    const { staggerMs } = this.#session.options;
    const { rtt } = this.#session;
    return rtt === undefined ? staggerMs : Math.min(staggerMs, Math.max(staggerMs / 2, 6 * rtt));
  }

  #start(name) {
    const isClimbing = this.current !== null;
    const settleMs = isClimbing && this.#chooser.isShortLived(name) ? SETTLE_MS : 0;
    const runner = { name, isClimbing, how: null, startedAt: now() };
    this.#expect(runner, ATTEMPT, settleMs);
    this.#runners.set(name, runner);
    runner.wire = new WIRES[name](this.#session, { isProbe: isClimbing, settleMs });
  }

  #expect(runner, { ms, trips }, settleMs = 0) {
    const { rtt, options } = this.#session;
    const within = rtt === undefined ? options.attemptMs : Math.min(options.attemptMs, Math.max(ms, trips * rtt));
    clearTimeout(runner.deadline);
    runner.deadline = setTimeout(() => this.#failed(runner, "silent"), within + settleMs);
  }

  #failed(runner, how) {
    if (runner.how) return;
    runner.how = how;
    clearTimeout(runner.deadline);
    runner.wire.retire();
    this.#note(runner.name, how);
    if (this.current) {
      this.#runners.delete(runner.name);
      this.#miss(runner);
      this.#planClimb();
    } else if (this.#queue.length) {
      this.#startNext();
    } else {
      this.#planAgain();
      this.#judge();
    }
    this.#session.changed();
  }

  // Those that are left say nothing, and may be mute. What was refused at once may have been by chance: it need not wait for them.
  #planAgain() {
    const isRefused = ({ how }) => how && how !== "silent";
    const { min, max } = this.#session.options.retryMs;
    const ms = Math.min(max, min * 2 ** this.#repeats);
    this.#set("again", ms, () => {
      this.#repeats += 1;
      this.#queue = [...this.#runners.values()].filter(isRefused).map(({ name }) => name);
      if (this.#queue.length) this.#startNext();
    });
  }

  // The round is lost when nobody runs any more.
  #judge() {
    const runners = [...this.#runners.values()];
    if (this.current || runners.some(({ how }) => !how)) return;
    this.#clear("again");
    this.#runners.clear();
    const isAway = this.#racingSince && runners.every(({ how }) => how !== "silent");
    if (isAway) this.#chooser.away(this.#racingSince, now());
    this.#racingSince = null;
    this.#session.handleLost();
  }

  #died(how) {
    const at = now();
    const { name } = this.current;
    const age = at - this.since;
    this.current = null;
    this.#clear("climb");
    // Its successor is on its way: it has only been faster than the news.
    if (how === "superseded" && this.trying.length) return;
    this.#note(name, how);
    const isJudged = how !== "cut" && how !== "superseded";
    if (isJudged && this.#session.isOnline) this.#chooser.died(name, how, age, at, Math.random());
    if (!isJudged || age > HASTY_MS) this.#tries = 0;
    // Whoever waited long enough for an answer need not wait any longer.
    if (this.trying.length === 0) this.raceSoon(how === "mute" || how === "post");
    this.#session.changed();
  }

  #dismissLosers(winner) {
    const allowed = this.allowed;
    for (const runner of this.#runners.values()) {
      const { name, wire, how, deadline } = runner;
      clearTimeout(deadline);
      // Only what was preferred had its chance: the others were started later.
      if (allowed.indexOf(name) < allowed.indexOf(winner.name)) this.#miss(runner);
      if (how) continue;
      wire.retire();
      this.#note(name, "slower");
    }
    this.#runners.clear();
    this.#queue = [];
  }

  #miss({ name, how, startedAt }) {
    if (how === "overtaken" || !this.#session.isOnline) return;
    this.#chooser.missed(name, how ?? "silent", startedAt, now(), Math.random());
  }

  #planClimb(isAtOnce = false) {
    this.#clear("climb");
    this.#climbAt = null;
    if (!this.current) return;
    const next = this.#chooser.climb(this.current.name, isAtOnce ? -Infinity : this.since, this.allowed);
    if (!next || this.#runners.has(next.name)) return;
    const ms = Math.max(0, next.at - now());
    this.#climbAt = { transport: next.name, at: Date.now() + ms };
    this.#set("climb", ms, () => this.#climb(next.name));
  }

  #climb(name) {
    this.#climbAt = null;
    if (this.current && !this.#runners.has(name)) this.#start(name);
  }

  #reason(runner, before) {
    const ms = now() - runner.startedAt;
    const missed = [...this.#runners.values()].map(({ name, how }) => `${name}: ${how ?? "silent"}`);
    const others = missed.length ? `; ${missed.join(", ")}` : "";
    return `${before ? `better than ${before.name}, ` : ""}proven after ${ms} ms${others}`;
  }

  #note(transport, how) {
    this.failures.push({ transport, how, at: Date.now() });
    if (this.failures.length > FAILURES_MAX) this.failures.shift();
  }

  #runnerOf(wire) {
    const runner = this.#runners.get(wire.name);
    // One that says hello in its constructor is not known to its runner yet.
    return !runner?.wire || runner.wire === wire ? runner : undefined;
  }

  #set(timer, ms, deed) {
    clearTimeout(this.#timers[timer]);
    this.#timers[timer] = setTimeout(deed, Math.max(0, ms));
  }

  #clear(...timers) {
    for (const timer of timers) clearTimeout(this.#timers[timer]);
  }
}
