// The sessions of one page's object, one after the other: when one cannot be resumed, another takes its place, and the page's
// channels are joined again in it, as far as the server keeps what was said meanwhile.
//
//                              lost, and something is kept              all joins answered
//     page ──▶ one session ───────────────────────────────▶ reopening ─────────────────────▶ another session
//                   │                                        │  ▲  │
//                   │ over for any other reason              │  └──┘ cut again, or nobody is there yet
//                   ▼                                        ▼
//              the page is told that it is over ◀── refused, or it takes too long
//
// What the page and the server say meanwhile is the business of `Joins`.

import { now } from "./clock.js";
import { Joins } from "./joins.js";
import { UNDELIVERED } from "./session.js";

/** The pause before another session doubles so often at most. */
const DOUBLINGS_MAX = 5;
/** After a session that lasted for so long the first attempt is made at once. */
const LASTING_MS = 10_000;

/**
 * What a page has in the place of one session. `on` hears of it what it would hear of one, and of `told({ type, topic, … })`.
 *
 * `make(on)` makes a session; `begin(session, before)` starts it, or ends it, where `before` is how the last one ended.
 */
export class Sessions {
  /** The one of the moment. */
  current;
  /** How many took the place of another. */
  reopens = 0;
  #make;
  #begin;
  #on;
  #reopenMs;
  #retryMs;
  #lingerMs;
  #joins;
  /** How the session that is to be replaced was lost, and until when that is not told; `null` while there is none. */
  #loss = null;
  #tries = 0;
  /** Frames of the newest session that are none of the page's. */
  #ownCount = 0;
  /** How the page has closed it, while that is under way. */
  #closing = null;
  #isWaiting = false;
  #timers = {};

  constructor({ make, begin, reopenMs, retryMs, lingerMs, on }) {
    this.#make = make;
    this.#begin = begin;
    this.#on = on;
    this.#reopenMs = reopenMs;
    this.#retryMs = retryMs;
    this.#lingerMs = lingerMs;
    this.#joins = reopenMs > 0 ? new Joins() : null;
    this.current = make(this.#hears());
  }

  /** Opens the first one. */
  start(before) {
    this.#begin(this.current, before);
  }

  /** Sends a frame of the page's. */
  send(frame) {
    this.#joins?.handleSent(frame);
    this.current.send(frame);
  }

  /** Sends a frame of which the page knows nothing. */
  sendOwn(frame) {
    this.current.send(frame);
  }

  close(code, reason) {
    this.#closing = { code, reason };
    const { current } = this;
    const isOwing = current.token !== null || current.ledger.sent > this.#ownCount;
    if (!isOwing) return current.leave({ code, reason });
    // For what the page has said while there was none, the next one is opened all the same.
    if (this.#loss) this.#setDeadline(this.#lingerMs);
    current.close(code, reason);
  }

  leave(how) {
    this.#closing = how;
    this.current.leave(how);
  }

  verify() {
    if (this.#isWaiting) this.#beginNext();
    else this.current.verify();
  }

  setOnline(isOnline) {
    this.current.setOnline(isOnline);
    if (isOnline) this.#beginNext();
  }

  suspend() {
    clearTimeout(this.#timers.begin);
    this.current.suspend();
  }

  resume() {
    if (this.#isWaiting) this.#beginNext();
    else this.current.resume();
  }

  /** Whether a session was lost and not all of it is there again. */
  get isReopening() {
    return this.#loss !== null;
  }

  #hears() {
    return {
      loggedIn: (ms) => this.#on.loggedIn(ms),
      opened: () => this.#handleOpened(),
      message: (frame) => this.#handleMessage(frame),
      over: (how) => this.#handleOver(how),
      changed: () => this.#on.changed(),
    };
  }

  #handleOpened() {
    if (!this.#loss) return this.#on.opened();
    this.#settleIfDone();
    this.#on.changed();
  }

  #handleMessage(frame) {
    const deeds = this.#joins?.handleReceived(frame);
    if (!deeds) return this.#on.message(frame);
    this.#do(deeds);
    this.#settleIfDone();
  }

  #handleOver(how) {
    const isFirst = !this.#loss;
    if (!this.#mayReopen(how)) return this.#end(this.#endOf(how));
    if (isFirst) {
      this.#loss = { how, until: 0 };
      this.#setDeadline(this.#reopenMs);
    }
    this.#reopen();
  }

  #mayReopen(how) {
    if (!this.#joins) return false;
    if (!this.#loss) return Boolean(how.isLost) && !this.#closing && this.#joins.isKept;
    return Boolean(how.isLost || how.isAway) && now() < this.#loss.until;
  }

  // Where nobody was there, what counts is why somebody had to be.
  #endOf(how) {
    if (!this.#loss || !(how.isLost || how.isAway)) return how;
    return this.#closing ? UNDELIVERED : this.#loss.how;
  }

  #setDeadline(ms) {
    clearTimeout(this.#timers.deadline);
    this.#loss.until = now() + ms;
    this.#timers.deadline = setTimeout(() => this.#giveUp(), ms);
  }

  #reopen() {
    const before = this.current;
    const { send, deliver, tell, ownCount } = this.#joins.handleLost(before.ledger.unsent);
    const pause = this.#pauseAfter(before);
    this.#ownCount = ownCount;
    this.current = this.#make(this.#hears());
    this.current.isOnline = before.isOnline;
    this.#isWaiting = true;
    this.#timers.begin = setTimeout(() => this.#beginNext(), pause);
    this.#do({ send, deliver, tell });
    if (this.#closing) this.current.close(this.#closing.code, this.#closing.reason);
    this.#on.changed();
  }

  #pauseAfter({ openedAt }) {
    const { min, max } = this.#retryMs;
    if (openedAt !== null && Date.now() - openedAt > LASTING_MS) this.#tries = 0;
    const tries = this.#tries;
    this.#tries = Math.min(tries + 1, DOUBLINGS_MAX + 1);
    // Spread, so that the clients of a server do not all come back in the same moment.
    return tries === 0 ? 0 : Math.min(max, min * 2 ** (tries - 1)) * (0.5 + Math.random() / 2);
  }

  #beginNext() {
    clearTimeout(this.#timers.begin);
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    const { code, reason } = this.#loss.how;
    this.#begin(this.current, { code, reason });
  }

  #do({ send, deliver, tell }) {
    for (const frame of send) this.current.send(frame);
    for (const told of tell) this.#on.told(told);
    for (const frame of deliver) this.#on.message(frame);
  }

  #settleIfDone() {
    if (!this.#loss || !this.current.token || !this.#joins.isSettled) return;
    clearTimeout(this.#timers.deadline);
    this.#loss = null;
    this.reopens += 1;
    this.#on.changed();
  }

  // The page has been kept waiting for long enough.
  #giveUp() {
    this.#loss.until = -Infinity;
    if (!this.current.token) return this.current.leave(this.#endOf(this.#loss.how));
    this.#do(this.#joins.giveUp());
    this.#settleIfDone();
  }

  #end(how) {
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
    this.#isWaiting = false;
    this.#on.over(how);
  }
}
