// The way up of the attachments that have no other: POSTs, one at a time, each repeated until it is answered.

import { bytesOf } from "./bytes.js";
import { now } from "./clock.js";
import { isLasting } from "./framelimit.js";
import { encodeLine, say } from "./lines.js";
import { Request } from "./request.js";

/** What one POST takes at most. On a slow link a larger one would look like one that is swallowed. */
const FRAMES_MAX = 500;
const BYTES_MAX = 64 * 1024;
/** The slowest way up for which a single large frame is given time. */
const BYTES_PER_MS = 16;
/** Where the round trip is known to be short, there is no need to wait so long as `postMs`, but for so long as this. */
const DEADLINE_MS_MIN = 1_000;
/** A POST that takes so many round trips is lost. */
const TRIPS = 5;
/** So many POSTs may fail in a row, less one. Silence to the first of all is enough: the first message waits for it. */
const TRIES = 2;
const PAUSE_MS = 150;
/** Until frames that the server has read and not taken are sent again. */
const BUSY_MS = 1_000;
/** Whoever answers so has read the request, and is the server. */
const READ = /^!ack \d/m;

/**
 * Sends what the ledger keeps, acknowledgements and questions.
 *
 * It may repeat itself without harm, since frames are numbered: what the server has, it drops.
 */
export class Upstream {
  #attachment;
  #failed;
  #request;
  #tries = 0;
  #sentAt = 0;
  #isProven = false;
  #isRunning = false;
  #isStopped = false;
  #owes = { ack: false, ping: false };

  /** `failed` is called once, with how, when this way up is no good. */
  constructor(attachment, failed) {
    this.#attachment = attachment;
    this.#failed = failed;
  }

  /** Sends what there is. */
  flush() {
    this.#run();
  }

  ack() {
    this.#owes.ack = true;
    this.#run();
  }

  ping() {
    this.#owes.ping = true;
    this.#run();
  }

  stop() {
    this.#isStopped = true;
    this.#request?.abort();
  }

  /** The server is busy: an answer may take its time. */
  wait() {
    this.#sentAt = now();
    this.#request?.wait();
  }

  /** Whether a POST waits for its answer suspiciously long. */
  isStuck(now) {
    return this.#tries > 0 || (this.#isRunning && now - this.#sentAt >= this.#attachment.session.options.quietMs);
  }

  async #run() {
    if (this.#isRunning) return;
    this.#isRunning = true;
    // One turn of the event loop, so that what is pushed together goes together.
    await Promise.resolve();
    while (!this.#isStopped && this.#hasWork()) await this.#post();
    this.#isRunning = false;
  }

  #hasWork() {
    const { ledger } = this.#attachment.session;
    return this.#owes.ack || this.#owes.ping || ledger.sent > ledger.acknowledged;
  }

  async #post() {
    const { session } = this.#attachment;
    const before = session.ledger.acknowledged;
    const owed = this.#owes;
    const frames = linesOfFrames(session);
    const { untold } = session;
    const lines = [...this.#lines(owed), ...linesOf(untold), ...frames];
    this.#owes = { ack: false, ping: false };
    this.#sentAt = now();
    this.#request = new Request(session.options.fetch, session.address[this.#attachment.name], lines, {
      deadlineMs: this.#patienceMs() + bytesOf(lines.join("\n")) / BYTES_PER_MS,
    });
    session.said(this.#attachment);
    try {
      const answer = await this.#request.answer;
      if (this.#isStopped) return;
      this.#isProven = true;
      session.told(untold);
      if (!frames.length) session.handlePassed();
      for (const line of answer.split("\n")) this.#attachment.receive(line);
      if (!frames.length || session.ledger.acknowledged > before) this.#tries = 0;
      else if (READ.test(answer)) await this.#rest();
      else await this.#miss("no progress");
    } catch (error) {
      this.#owes = { ack: owed.ack || this.#owes.ack, ping: owed.ping || this.#owes.ping };
      const isRefused = frames.length > 0 && isLasting(error.how);
      if (!this.#isStopped) session.handleUnsent(this.#attachment, frames.length - 1, error.how);
      // The next one goes without frames, at once.
      if (!isRefused) await this.#miss(error.how);
    }
  }

  #patienceMs() {
    const { options, rtt, frameLimit } = this.#attachment.session;
    if (!this.#isProven || rtt === undefined) return Math.max(options.postMs, frameLimit.patienceMs);
    return Math.max(frameLimit.patienceMs, Math.min(options.postMs, Math.max(DEADLINE_MS_MIN, TRIPS * rtt)));
  }

  #rest() {
    this.#tries = 0;
    this.#attachment.session.handleRead();
    return new Promise((resolve) => setTimeout(resolve, BUSY_MS));
  }

  #lines({ ack, ping }) {
    const { session } = this.#attachment;
    const lines = [say.send(session.token)];
    if (ack) lines.push(say.ack(session.ledger.tell()));
    if (ping) lines.push(say.ping);
    return lines;
  }

  async #miss(how) {
    this.#tries += 1;
    if (this.#isStopped) return;
    const isBarred = how === "silent" && !this.#isProven;
    if (this.#tries < TRIES && !isBarred) return new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    this.stop();
    this.#failed(how);
  }
}

/** A line, if there is one. */
export function linesOf(line) {
  return line ? [line] : [];
}

/** The next frames that the server may lack, numbered, as much as a request should have. */
export function linesOfFrames({ ledger, frameLimit }) {
  const frames = ledger.after(ledger.acknowledged, Math.min(FRAMES_MAX, frameLimit.max), BYTES_MAX).map(encodeLine);
  return frames.length ? [say.from(ledger.acknowledged + 1), ...frames] : [];
}
