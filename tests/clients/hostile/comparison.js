// The stock client beside ours: the same page, the same traffic, the same faults, once over phoenix.js's own transports and once
// over `Lapwing`. `scripts/guarantees` runs it; it fails only if ours loses anything.

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SEED } from "../support/seed.js";
import { startTestbed } from "../support/testbed.js";
import { pause, within } from "../support/wait.js";
import { startChromium } from "./chromium.js";
import { freeze } from "./path.js";
import { resultsPath } from "./results.js";
import { withPeers } from "./scenario.js";
import { drain, wrongs } from "./zeros.js";

/** How long the traffic lasts, and how many messages a second go each way. */
export const SECONDS = 30;
export const PER_SECOND = 20;
/** Calm before a fault that begins in the middle. */
const CALM_MS = 3_000;
/** A push waits for its turn as long as phoenix.js lets it by default: less would lose what is only late. */
const PUSH_TIMEOUT_MS = 10_000;
/** phoenix.js gives up on WebSocket for its own long-poll after this; it is what its documentation proposes. */
const stock = { longPollFallbackMs: 2_500 };

const clients = [
  { name: "phoenix.js, its own transports", options: null },
  { name: "phoenix.js with lapwing-transport", options: {} },
];

/** `before`: what the proxy does from the start. `middle`: what happens after a few seconds of calm. */
export const comparisons = [
  { name: "a proxy resets WebSockets after 300 ms", before: [{ kill_websocket_ms: 300 }] },
  { name: "a connection goes half-open", middle: (faults) => freeze(faults) },
  { name: "the network is away for 3 s", middle: (faults) => away(faults, 3_000) },
  { name: "no WebSocket, and one answer in ten is lost", before: ["strip_upgrade", { drop_random: { chance: 0.1, of: "all" } }] },
];

async function away(faults, ms) {
  await faults.set(["down"]);
  await pause(ms);
  await faults.lift();
}

/** What one client makes of one fault. */
async function run(world, { before = [], middle }, { options }) {
  const peer = { pushTimeoutMs: PUSH_TIMEOUT_MS, ...(options ? {} : { stock }) };
  return withPeers(world, { seed: SEED, options, peer }, async ({ client, observer, faults }) => {
    await faults.set(before);
    await within("the joins", client.connect(), 60_000);
    await client.mark();
    observer.mark();
    await client.push(PER_SECOND);
    observer.push(PER_SECOND);
    if (middle) {
      await pause(CALM_MS);
      await middle(faults);
      await pause(SECONDS * 1_000 - CALM_MS);
    } else {
      await pause(SECONDS * 1_000);
    }
    await faults.lift();
    const records = await drain(client, observer);
    return { ...countsOf(records), wrongs: wrongs(records) };
  });
}

function countsOf({ client, observer }) {
  const sent = client.sent + observer.sent;
  return {
    sent,
    lost: sent - observer.messages.taken - client.messages.taken,
    doubled: observer.messages.duplicated + client.messages.duplicated,
    rejoins: client.joins - 2,
    // Its own coming was seen.
    flaps: observer.presences - 1,
    worstMs: Math.max(observer.messages.worstMs, client.messages.worstMs),
  };
}

async function compare() {
  const [testbed, chromium] = await Promise.all([startTestbed(), startChromium()]);
  try {
    const rows = [];
    // One fault at a time: what waits for a machine must not look like what waits for a network.
    for (const comparison of comparisons) {
      const counts = await Promise.all(clients.map((client) => run(chromium.world(testbed), comparison, client)));
      rows.push({ name: comparison.name, clients: clients.map(({ name }, at) => ({ name, ...counts[at] })) });
      console.log(comparison.name, counts);
      const ours = counts.at(-1);
      if (ours.wrongs.length) throw new Error(`${comparison.name}: ${ours.wrongs.join(", ")}`);
    }
    return rows;
  } finally {
    await chromium.stop();
    await testbed.stop();
  }
}

const path = resultsPath("comparison");
mkdirSync(join(path, ".."), { recursive: true });
writeFileSync(path, `${JSON.stringify(await compare(), null, 2)}\n`);
