// Pairs of clients, in threads: what they do takes more than one core.

import { startThread } from "./thread.js";

const METHODS = ["connect", "begin", "rest", "seen", "leave"];

const THREADS = 4;

/** Starts the threads of these pairs. Each method is called in all of them. */
export async function startPairs(url, pairs) {
  const shares = Array.from({ length: THREADS }, (_, n) => pairs.filter((_, at) => at % THREADS === n));
  const threads = await Promise.all(shares.map((share) => startThread("pairs-thread.js", METHODS, url, share)));
  const all = (method) => async (...given) => (await Promise.all(threads.map((thread) => thread[method](...given)))).flat();
  const methods = Object.fromEntries(METHODS.map((method) => [method, all(method)]));
  const leave = async () => {
    await methods.leave();
    await Promise.all(threads.map((thread) => thread.end()));
  };
  return { ...methods, leave };
}
