// What came of a row of numbered messages.

/** Counts messages that are numbered from 1 and should come once and in order. */
export class Tally {
  duplicated = 0;
  disordered = 0;
  /** The longest that a message sent since `mark` was under way. */
  worstMs = 0;
  #seen = new Set();
  #highest = 0;
  #markedAt = 0;

  /** Takes a message, with the time at which it was sent. */
  take(number, sentAt) {
    if (this.#seen.has(number)) this.duplicated += 1;
    else if (number < this.#highest) this.disordered += 1;
    this.#seen.add(number);
    this.#highest = Math.max(this.#highest, number);
    if (sentAt >= this.#markedAt) this.worstMs = Math.max(this.worstMs, Date.now() - sentAt);
  }

  /** From now on only what is sent later says how long it takes. */
  mark() {
    this.#markedAt = Date.now();
    this.worstMs = 0;
  }

  /** How many different messages came. */
  get taken() {
    return this.#seen.size;
  }

  toJSON() {
    const { taken, duplicated, disordered, worstMs } = this;
    return { taken, duplicated, disordered, worstMs };
  }
}
