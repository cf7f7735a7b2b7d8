// How long something took, many times, in a fixed amount of memory.

/** Steps of two per cent from a hundredth of a millisecond on. */
const BASE = Math.log(1.02);
const FIRST_MS = 0.01;

export class Times {
  #counts = new Uint32Array(1_000);
  count = 0;
  max = 0;

  add(ms) {
    const at = Math.min(this.#counts.length - 1, Math.max(0, Math.ceil(Math.log(ms / FIRST_MS) / BASE)));
    this.#counts[at] += 1;
    this.count += 1;
    if (ms > this.max) this.max = ms;
  }

  /** The time that a part of them took at most. */
  quantile(part) {
    let left = part * this.count;
    const at = this.#counts.findIndex((count) => (left -= count) <= 0);
    return FIRST_MS * Math.exp(BASE * Math.max(0, at));
  }

  summary() {
    const ms = (value) => Number(value.toFixed(2));
    return { p50: ms(this.quantile(0.5)), p99: ms(this.quantile(0.99)), max: ms(this.max) };
  }
}
