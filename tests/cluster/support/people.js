// People in rooms, in so many threads that none of them is what a message waits for.

import { startThread } from "./thread.js";

const METHODS = ["come", "seeEachOther", "begin", "end", "records", "leave"];

/** So many for each core of a small machine, beside three nodes and an engine. */
const THREADS = 4;

/** Starts the threads of these rooms. Each method is called in all of them. */
export async function startPeople(url, rooms) {
  const shares = Array.from({ length: Math.min(THREADS, rooms.length) }, (_, n) => rooms.filter((_, at) => at % THREADS === n));
  const threads = await Promise.all(shares.map((share) => startThread("people-thread.js", METHODS, url, share)));
  const all = (method) => async () => (await Promise.all(threads.map((thread) => thread[method]()))).flat();
  const methods = Object.fromEntries(METHODS.map((method) => [method, all(method)]));
  const leave = async () => {
    await methods.leave();
    await Promise.all(threads.map((thread) => thread.end()));
  };
  return { ...methods, leave };
}
