// A tap between a node and its engine, in a thread of its own.

import { startThread } from "./thread.js";

const METHODS = ["port", "delay", "cut", "down", "up", "swallow", "stall", "cutNextPublication", "stop"];

/** Starts a tap before a port of this machine. */
export async function startTap(target) {
  const tap = await startThread("tap-thread.js", METHODS, target);
  const stop = async () => {
    await tap.stop();
    await tap.end();
  };
  return { ...tap, port: await tap.port(), stop };
}
