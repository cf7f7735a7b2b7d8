// Hundreds of short lives in networks that change at random. `SEED` repeats the one that failed, and only that.

import { after, before, describe, it } from "node:test";
import { startTestbed } from "../support/testbed.js";
import { SEED, isGiven } from "../support/seed.js";
import { pause, within } from "../support/wait.js";
import { randomOf } from "./random.js";
import { move, release } from "./moves.js";
import { freeze } from "./path.js";
import { withPeers } from "./scenario.js";
import { nodeWorld } from "./world.js";
import { assertZeros, drain } from "./zeros.js";

const SCHEDULES = 200;
const AT_ONCE = 8;
const PER_SECOND = 100;
const STEPS = 8;
const STEP_MS_MAX = 90;

/** Everything is noticed sooner than by default, so that a short life has many turns. */
const hasty = {
  staggerMs: 150,
  attemptMs: 800,
  quietMs: 200,
  patienceMs: 250,
  postMs: 250,
  retryMs: { min: 20, max: 200 },
};

const networks = [
  [{ drop_random: { chance: 0.3, of: "all" } }],
  [{ drop_every: { nth: 2, of: "posts" } }],
  [{ delay: { by_ms: 20, jitter_ms: 30 } }],
  [{ kill_after_ms: 40 }],
  [{ kill_idle_ms: 30 }],
  [{ kill_websocket_ms: 20 }],
  [{ refuse_upgrade: 403 }],
  ["strip_upgrade", "buffer_responses"],
  ["strip_upgrade", { buffer_first_bytes: 4_096 }],
  [{ trickle_bytes_per_s: 20_000 }],
  ["swallow_upgrade"],
  ["mute_websockets"],
  ["mute_event_streams"],
  ["swallow_posts"],
  ["swallow_post_replies"],
  ["one_connection"],
  ["one_request", "strip_upgrade"],
  ["http10"],
  [{ cap_response_ms: 50 }],
  ["down"],
];

const seeds = isGiven ? [SEED] : Array.from({ length: SCHEDULES }, (_, n) => SEED * SCHEDULES + n);

describe(`${seeds.length} schedules`, { concurrency: AT_ONCE }, () => {
  let testbed;
  before(async () => {
    testbed = await startTestbed();
  });
  after(() => testbed.stop());
  for (const seed of seeds) it(`seed ${seed}`, { timeout: 60_000 }, () => run(nodeWorld(testbed), seed));
});

function run(world, seed) {
  const random = randomOf(seed);
  const log = [];
  return withPeers(world, { seed, options: hasty }, async ({ client, observer, faults }) => {
    await within("the joins", client.connect());
    client.push(PER_SECOND);
    observer.push(PER_SECOND);
    const forbidden = new Set();
    for (let steps = 0; steps < STEPS; steps += 1) {
      log.push(await step(random, { client, faults, forbidden }));
      await pause(STEP_MS_MAX * random.next());
    }
    await faults.lift();
    // What was frozen or swallowed would be noticed, but later.
    await faults.cut();
    release(client, forbidden);
    assertZeros(await drain(client, observer));
  }).catch((error) => {
    error.stack += `\nseed ${seed}: ${log.join(", ")}`;
    throw error;
  });
}

/** One step, and what it was. */
async function step(random, { client, faults, forbidden }) {
  switch (random.below(6)) {
    case 0:
      await faults.cut();
      return "cut";
    case 1:
      await freeze(faults);
      return "freeze";
    case 2:
    case 3:
      await move(client, random, forbidden);
      return `move, ${[...forbidden].join("+") || "nothing"} forbidden`;
    default: {
      const set = random.pick(networks);
      await faults.set(set);
      return JSON.stringify(set);
    }
  }
}
