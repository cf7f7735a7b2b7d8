// Waiting with an end to it: what does not come is an error that says what was awaited.

/** Longer than any answer takes on a machine that does other things as well. */
const PATIENCE_MS = 30_000;

/** Waits for a promise. */
export function within(what, promise, ms = PATIENCE_MS) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: did not come within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Waits until a condition holds, asking every few milliseconds. */
export async function until(what, condition, ms = PATIENCE_MS) {
  const end = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what}: was not so within ${ms} ms`);
    await pause(5);
  }
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
