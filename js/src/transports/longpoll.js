// The session over requests of which each is answered completely: what passes everywhere.

import { isLasting } from "../framelimit.js";
import { Request } from "../request.js";
import { linesOf, linesOfFrames } from "../upstream.js";
import { HttpAttachment } from "./http.js";

/** A poll may be so much later than the server says. */
const SLACK_MS = 3_000;
/** So many polls may fail in a row, less one. */
const TRIES = 3;
const PAUSE_MS = 100;
/** Until frames that the server has read and not taken are sent again. */
const BUSY_MS = 1_000;
/** Whoever answers so has read the request, and is the server. */
const READ = /^!resumed \d/m;

/**
 * Polls, and POSTs beside them for the way up.
 *
 * Where a POST does not get through beside a poll, there is one request at a time: what is to be said interrupts the poll
 * and goes with the next one.
 */
export class LongPollAttachment extends HttpAttachment {
  /** Whether the server holds the poll until it has something to say. */
  #isHeld = false;
  /** Whether the next poll must not be held: a first one, which proves the way, or one that answers a question. */
  #mustHurry = true;
  #isAsked = false;
  /** How many polls have failed in a row. An attachment that is not proven has no second try: others wait for its turn. */
  #tries = TRIES - 1;

  constructor(session) {
    super(session, "longpoll", (how) => (isLasting(how) ? this.end(how) : this.#useSingleRequest()));
    this.#run();
  }

  flush() {
    if (this.session.singleRequest) this.#interrupt();
    else super.flush();
  }

  /** Each poll says what we have, and the one that brought it is over. */
  ack() {}

  ping() {
    if (!this.session.singleRequest) return super.ping();
    this.#isAsked = this.#mustHurry = true;
    this.#interrupt();
  }

  revive() {
    if (this.session.singleRequest) return false;
    this.#useSingleRequest();
    return true;
  }

  async #run() {
    while (!this.isOver) await this.#poll();
  }

  async #poll() {
    const { session } = this;
    const before = session.ledger.acknowledged;
    const frames = this.#frames();
    // Where there are POSTs, they have it.
    const untold = session.singleRequest && this === session.race.current ? session.untold : null;
    const lines = [this.hello(this.#isHeld ? undefined : 0), ...linesOf(untold), ...frames];
    const { fetch, postMs } = session.options;
    // One that answers a question has taken that long already.
    const usualMs = this.#isHeld ? session.holdMs + SLACK_MS : this.#isAsked ? postMs : SLACK_MS;
    const deadlineMs = Math.max(usualMs, session.frameLimit.patienceMs);
    const request = new Request(fetch, this.url, lines, { deadlineMs, headers: session.address.headers });
    this.request = request;
    try {
      const answer = await request.answer;
      if (this.isOver) return;
      if (!frames.length) session.handlePassed();
      if (untold) session.told(untold);
      this.#heard(answer);
      if (frames.length && session.ledger.acknowledged === before) await this.#handleNoProgress(answer);
    } catch ({ how = "error" }) {
      if (this.isOver || this.request !== request) return;
      session.handleUnsent(this, frames.length - 1, how);
      this.#mustHurry = true;
      // The next one goes without frames, at once.
      if (!frames.length || !isLasting(how)) await this.#miss(how);
    }
  }

  #frames() {
    const { session } = this;
    const carries = this.#mustHurry || session.singleRequest;
    const frames = carries && session.token ? linesOfFrames(session) : [];
    this.#isHeld = !this.#mustHurry && frames.length === 0;
    return frames;
  }

  #heard(answer) {
    this.#tries = 0;
    this.#mustHurry = false;
    this.session.heard(this);
    const isAnswer = this.#isAsked && !this.#isHeld;
    if (isAnswer) this.#isAsked = false;
    for (const line of answer.split("\n")) this.receive(line);
    if (isAnswer) this.control({ word: "pong", received: this.session.ledger.acknowledged });
  }

  // The server has read what it does not take yet, unless somebody else answers here.
  async #handleNoProgress(answer) {
    if (!READ.test(answer)) return this.#miss("no progress");
    this.session.handleRead();
    if (this.session.singleRequest) await new Promise((resolve) => setTimeout(resolve, BUSY_MS));
  }

  // An aborted poll is no loss: what its answer had comes with the next one.
  #interrupt() {
    if (!this.#isHeld) return;
    const held = this.request;
    this.#isHeld = false;
    this.request = undefined;
    held.abort();
  }

  #useSingleRequest() {
    this.upstream.stop();
    this.session.useSingleRequest();
    this.ping();
  }

  async #miss(how) {
    this.#tries += 1;
    this.#mustHurry = true;
    if (this.isOver) return;
    if (this.#tries >= TRIES || how === "silent") return this.end(how);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS * 2 ** this.#tries));
  }
}
