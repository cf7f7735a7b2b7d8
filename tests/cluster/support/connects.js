// How fast clients come to nodes: the connections that they have accepted, read again and again.

import { pause } from "../../clients/support/wait.js";

const EVERY_MS = 100;

/** Watches nodes until it is asked for the most connections that came to all of them together within so long. */
export function watchConnects(nodes, windowMs) {
  const readings = [];
  let failure;
  let isOver = false;
  const watching = (async () => {
    while (!isOver) {
      const stats = await Promise.all(nodes.map((node) => node.stats()));
      const accepted = stats.reduce((sum, { accepted }) => sum + accepted, 0);
      // The questions are connections, too.
      readings.push({ at: performance.now(), accepted: accepted - nodes.length * readings.length });
      await pause(EVERY_MS);
    }
  })().catch((error) => (failure = error));
  return {
    async most() {
      isOver = true;
      await watching;
      if (failure) throw failure;
      return readings.reduce((most, { at, accepted }) => {
        const before = readings.find((reading) => at - reading.at <= windowMs);
        return Math.max(most, accepted - before.accepted);
      }, 0);
    },
  };
}
