// Objects in threads of their own. What stands between a node and its engine passes bytes though a thousand clients keep the test busy, and who
// forges messages keeps none of them waiting.

import { once } from "node:events";
import { Worker, parentPort, workerData } from "node:worker_threads";

/** Starts what a file beside this one gives to `serve`, with these arguments. Returns an object with these methods of it, which answer later. */
export async function startThread(file, methods, ...args) {
  const worker = new Worker(new URL(file, import.meta.url), { workerData: args });
  // A trial that fails leaves it behind.
  worker.unref();
  const waiting = new Map();
  let calls = 0;
  worker.on("message", ({ call, value, error }) => {
    const { resolve, reject } = waiting.get(call) ?? {};
    waiting.delete(call);
    if (error) reject?.(error);
    else resolve?.(value);
  });
  const call = (method, given) =>
    new Promise((resolve, reject) => {
      calls += 1;
      waiting.set(calls, { resolve, reject });
      worker.postMessage({ call: calls, method, given });
    });
  const [{ error }] = await once(worker, "message");
  if (error) throw error;
  const end = () => worker.terminate();
  return Object.fromEntries([["end", end], ...methods.map((method) => [method, (...given) => call(method, given)])]);
}

/** In the thread: makes the object, and calls its methods as it is told to. */
export async function serve(start) {
  try {
    const object = await start(...workerData);
    parentPort.on("message", async ({ call, method, given }) => {
      try {
        parentPort.postMessage({ call, value: await object[method](...given) });
      } catch (error) {
        parentPort.postMessage({ call, error });
      }
    });
    parentPort.postMessage({});
  } catch (error) {
    parentPort.postMessage({ error });
  }
}
