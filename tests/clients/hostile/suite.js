// The suite of behaviours on one platform, which is what the table is made of.

import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { SEED } from "../support/seed.js";
import { behaviours } from "./behaviours.js";
import { Results } from "./results.js";
import { fromMiddle, fromStart, inTime } from "./scenario.js";

/** Scenarios mostly wait. More at a time would make a busy machine look like a slow network. */
const CONCURRENCY = 12;
/** One that was late waits until all others are over. */
const TIMEOUT_MS = 300_000;

/** Puts every behaviour, or those of some names, through both scenarios. `world()` is called when the tests run. */
export function suite(platform, world, { only, concurrency = CONCURRENCY } = {}) {
  const results = new Results(platform);
  for (const name of only ?? []) assert.ok(behaviours.some((behaviour) => behaviour.name === name), `${name} is no behaviour`);
  describe(`hostile networks, ${platform}, seed ${SEED}`, { concurrency }, () => {
    for (const behaviour of behaviours) {
      const { name, isHttp2 } = behaviour;
      if (only && !only.includes(name)) continue;
      // Neither the fetch nor the WebSocket of Node speak it.
      if (isHttp2 && platform !== "chromium") continue;
      const test = (when, run) =>
        it(`${name}, ${when}`, { timeout: TIMEOUT_MS }, async () => {
          results.add(name, await inTime(async (seed) => run(await world(), behaviour, seed)));
        });
      if (!behaviour.isMidOnly) test("from the start", fromStart);
      if (!behaviour.isStartOnly) test("in mid-session", fromMiddle);
    }
    // The table is about all of them.
    if (!only) after(() => results.save());
  });
}
