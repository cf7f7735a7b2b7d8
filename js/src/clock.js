// Durations, by a clock that never goes back and in which sleep counts. The wall clock does the one, the steady clock the other.

/** By less than this the wall clock is only corrected. */
const JUMP_MS = 500;

/**
 * Milliseconds, about those since 1970 at first.
 *
 * Sleep stops a browser's steady clock; a wall clock is set back by hand and forward by the network. What the wall clock gains on
 * the steady one at once counts as sleep, since the two cannot be told apart, and what it loses does not count.
 */
export class Clock {
  #wall;
  #steady;
  #ahead;
  #slept;

  /** Both are functions. */
  constructor(wall, steady) {
    this.#wall = wall;
    this.#steady = steady;
    this.#slept = this.#ahead = wall() - steady();
  }

  now() {
    const steady = this.#steady();
    const gained = this.#wall() - steady - this.#ahead;
    if (Math.abs(gained) > JUMP_MS) {
      this.#ahead += gained;
      this.#slept += Math.max(0, gained);
    }
    return Math.floor(steady + this.#slept);
  }
}

/** Milliseconds without sleep: never more than have passed. */
export const steady = () => globalThis.performance?.now() ?? Date.now();

const clock = new Clock(() => Date.now(), steady);

/** Milliseconds with sleep. */
export const now = () => clock.now();
