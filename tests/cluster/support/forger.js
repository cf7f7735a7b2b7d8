// A forger of the nodes' messages, in a thread of its own.

import { startThread } from "./thread.js";

const METHODS = ["say", "channelOf", "deafen", "fill"];

/** Starts one that hears all channels of an application, and has something of each to change. */
export async function startForger({ kind, port }, app) {
  const forger = await startThread("forger-thread.js", METHODS, { kind, port }, app);
  return { ...forger, stop: forger.end };
}
