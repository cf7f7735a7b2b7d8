// How often an attachment must show life, learned from how it died. Pure: time is an argument.

/** Not more often than this, whatever happens. */
const BEAT_MS_MIN = 5_000;
/** An attachment that dies after shorter silence did not die of it. */
const IDLE_MS_MIN = 4_000;
/** After so long without a death of silence the beat gets rarer by half. */
const STEP_MS = 10 * 60_000;
/** The silence that killed once is believed to kill for so long. */
const BELIEVED_MS = 60 * 60_000;

/** The interval of one transport on one path. */
export class Beat {
  #ms;
  #at;
  #limitMs;

  /** `saved` is what `toJSON` made. */
  constructor(startMs, now, saved) {
    this.#ms = saved?.ms ?? startMs;
    this.#at = saved?.at ?? now;
    this.#limitMs = saved?.limitMs ?? Infinity;
  }

  /** The interval now. Half of the session's window at most, so that one sign of life may get lost. */
  ms(now, windowMs = Infinity) {
    const grown = this.#ms * 1.5 ** Math.floor(Math.max(0, now - this.#at) / STEP_MS);
    const believed = now - this.#at < BELIEVED_MS ? 0.6 * this.#limitMs : Infinity;
    return Math.round(Math.max(BEAT_MS_MIN, Math.min(grown, believed, windowMs / 2)));
  }

  /** An attachment died after so much silence, and the path was good again at once: something on it kills what is idle. */
  killed(idleMs, now) {
    if (idleMs < IDLE_MS_MIN) return;
    this.#ms = Math.max(BEAT_MS_MIN, Math.min(this.ms(now), idleMs / 2));
    this.#limitMs = idleMs;
    this.#at = now;
  }

  toJSON() {
    return { ms: this.#ms, at: this.#at, limitMs: Number.isFinite(this.#limitMs) ? this.#limitMs : undefined };
  }
}
