// A thousand messages a second each way, on any platform.

import assert from "node:assert/strict";
import { it } from "node:test";
import { SEED } from "../support/seed.js";
import { pause, within } from "../support/wait.js";
import { BACK_MS_MAX, back, onTransport, withPeers } from "./scenario.js";
import { assertZeros, drain } from "./zeros.js";

const PER_SECOND = 1_000;
const SWITCHES = 100;
const MOVE_MS = 50;
/** Half a minute on a quiet machine, and a minute where three browsers share two cores with something else. */
const MOVES_MAX_MS = 180_000;
/** The moves, the way back to WebSocket, and what is under way then. */
const END_MS = MOVES_MAX_MS + BACK_MS_MAX + 30_000;
const LOSSY_MS = 6_000;

export function rates(world) {
  it(`${PER_SECOND} messages a second each way and ${SWITCHES} switches, seed ${SEED}`, { timeout: END_MS + 30_000 }, async () => {
    await withPeers(await world(), { seed: SEED, endMs: END_MS }, async ({ client, observer }) => {
      await within("the joins", client.connect());
      await pushBoth(client, observer);
      const began = Date.now();
      await within("the moves", client.wander(SEED, SWITCHES, MOVE_MS), MOVES_MAX_MS);
      await back(client);
      const ms = Date.now() - began;
      const records = await drain(client, observer);
      assertZeros(records);
      assertRate(records, ms);
    });
  });

  it(`${PER_SECOND} messages a second over long-poll that loses a tenth of its responses, seed ${SEED}`, { timeout: 90_000 }, async () => {
    const options = { transports: ["longpoll"] };
    await withPeers(await world(), { seed: SEED, options }, async ({ client, observer, faults }) => {
      await within("the joins", client.connect());
      await faults.set([{ drop_random: { chance: 0.1, of: "all" } }]);
      const before = await faults.counters();
      await pushBoth(client, observer);
      await pause(LOSSY_MS);
      const records = await drain(client, observer);
      assertZeros(records);
      assertRate(records, LOSSY_MS);
      await onTransport(client, "longpoll");
      const { requests } = await faults.counters();
      assert.ok(requests.POST - before.requests.POST > 50, "there were responses to lose");
    });
  });
}

async function pushBoth(client, observer) {
  await client.push(PER_SECOND);
  observer.push(PER_SECOND);
}

/** Fails if the machine was too slow for the run to mean what it says. */
function assertRate({ client, observer }, ms) {
  for (const { sent } of [client, observer]) {
    assert.ok(sent >= (ms / 1_000) * PER_SECOND * 0.8, `only ${sent} were sent`);
  }
}
