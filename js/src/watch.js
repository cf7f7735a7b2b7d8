// Whether an attachment still carries anything. Pure: time is an argument.

/** Frames that come closer together than this make a busy stream. */
const BUSY_MS = 2_000;
/** A timer that is later than this woke from sleep, or is one of a hidden page. */
const LATE_MS = 1_000;
/** The server may be as late as this with its sign of life. */
const SLACK_MS = 1_000;
/** No answer is awaited longer. */
const PATIENCE_MS_MAX = 15_000;

/**
 * Decides when to ask with `!ping`, and when to give up.
 *
 * It asks when a busy stream falls silent, when something sent is not acknowledged, and when the server's sign of life does
 * not come. Idle attachments are left alone.
 */
export class Watch {
  /** The last round trip, `undefined` before there was one. */
  rtt;
  #options;
  #beat = Infinity;
  #heardAt = 0;
  #saidAt = 0;
  #frameAt = -Infinity;
  #isBusy = false;
  #askAt = Infinity;
  #askedAt = null;
  #answeredAt = -Infinity;
  #isAskedAnew = false;
  #deadInRow = 0;

  constructor({ quietMs, patienceMs }) {
    this.#options = { quietMs, patienceMs };
  }

  /** Begins with an attachment that was just proven, on which the server says something each `beat`. */
  start(now, beat) {
    this.#beat = beat;
    this.#heardAt = this.#saidAt = now;
    this.#frameAt = -Infinity;
    this.#isBusy = this.#isAskedAnew = false;
    this.#askAt = Infinity;
    this.#askedAt = null;
  }

  /** Any bytes came. */
  heard(now) {
    this.#heardAt = now;
  }

  /** A frame came. */
  framed(now) {
    this.#isBusy = now - this.#frameAt < BUSY_MS;
    this.#frameAt = now;
  }

  /** Something other than a question was sent. */
  said(now) {
    this.#saidAt = now;
  }

  /** A `!ping` was sent. */
  asked(now) {
    this.#askedAt ??= now;
    this.#askAt = Infinity;
    this.#isBusy = false;
  }

  /** A `!pong` came. */
  answered(now) {
    if (this.#askedAt !== null) this.measured(now - this.#askedAt);
    this.#askedAt = null;
    this.#answeredAt = now;
    this.#isAskedAnew = false;
    this.#deadInRow = 0;
  }

  /** The server said that it reads nothing more for now: nothing can be concluded from silence of ours that it has not read. */
  busy(now) {
    if (this.#askedAt !== null) this.#askedAt = now;
    this.#answeredAt = now;
  }

  /** A round trip took so long. */
  measured(ms) {
    this.rtt = ms;
  }

  /** Something happened that may have broken the attachment: it is asked at once. */
  suspect(now) {
    this.#askAt = now;
  }

  /** The attachment is moving bytes that a question has to wait behind. */
  extend(now) {
    if (this.#askedAt !== null) this.#askedAt = now;
  }

  /**
   * Looks: `"ask"`, `"dead"` or `"well"`. `due` is when it should have been called.
   *
   * Out of sleep nothing can be concluded from silence. The attachment is asked anew, once.
   */
  look(now, due, unacknowledgedSince) {
    if (now - due > LATE_MS && !this.#isAskedAnew) {
      this.#isAskedAnew = true;
      this.#askedAt = null;
      return "ask";
    }
    if (now >= this.#deadAt()) {
      // A link that is only slow must get through some day: each time in a row it is given twice as long.
      this.#deadInRow += 1;
      return "dead";
    }
    return this.#askedAt === null && now >= this.#nextAskAt(unacknowledgedSince) ? "ask" : "well";
  }

  /** When to look again. */
  lookAt(unacknowledgedSince) {
    return this.#askedAt === null ? this.#nextAskAt(unacknowledgedSince) : this.#deadAt();
  }

  /** For how long no byte went either way before the attachment died, or before it was asked and did not answer; 0 after a sleep. */
  idleMs(now) {
    if (this.#isAskedAnew) return 0;
    return (this.#askedAt ?? now) - Math.max(this.#heardAt, this.#saidAt);
  }

  /** How long an answer is awaited. */
  get patienceMs() {
    const usual = Math.max(this.#options.patienceMs, 4 * (this.rtt ?? 0));
    return Math.min(usual * 2 ** this.#deadInRow, PATIENCE_MS_MAX);
  }

  #nextAskAt(unacknowledgedSince) {
    const { quietMs } = this.#options;
    return Math.min(
      this.#askAt,
      this.#isBusy ? this.#frameAt + quietMs : Infinity,
      // Not in a row: what was sent meanwhile may have missed the last answer.
      Math.max(unacknowledgedSince, this.#answeredAt) + quietMs,
      this.#heardAt + this.#beat + SLACK_MS,
    );
  }

  // Other traffic is no answer, since what we say may be swallowed; but it is a reason to wait once more as long.
  #deadAt() {
    if (this.#askedAt === null) return Infinity;
    const waits = this.#heardAt > this.#askedAt ? 2 : 1;
    return this.#askedAt + waits * this.patienceMs;
  }
}
