// The suite of behaviours on one platform, which is what the table is made of.

import { after, describe, it } from "node:test";
import { behaviours } from "./behaviours.js";
import { Results } from "./results.js";
import { fromMiddle, fromStart, inTime } from "./scenario.js";

/** Scenarios mostly wait. More at a time would make a busy machine look like a slow network. */
const CONCURRENCY = 12;
/** One that was late waits until all others are over. */
const TIMEOUT_MS = 300_000;

/** Puts every behaviour through both scenarios. `world()` is called when the tests run. */
export function suite(platform, world) {
  const results = new Results(platform);
  describe(`hostile networks, ${platform}`, { concurrency: CONCURRENCY }, () => {
    for (const behaviour of behaviours) {
      const { name, isHttp2 } = behaviour;
      // Neither the fetch nor the WebSocket of Node speak it.
      if (isHttp2 && platform !== "chromium") continue;
      const test = (when, run) =>
        it(`${name}, ${when}`, { timeout: TIMEOUT_MS }, async () => {
          results.add(name, await inTime(async () => run(await world(), behaviour)));
        });
      if (!behaviour.isMidOnly) test("from the start", fromStart);
      if (!behaviour.isStartOnly) test("in mid-session", fromMiddle);
    }
    after(() => results.save());
  });
}
