// Chance that can be had again.

// The seed of this run: set SEED to repeat one.
export { SEED } from "../../tests/clients/support/seed.js";

/** Mulberry32: the same numbers for the same seed. */
export function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
