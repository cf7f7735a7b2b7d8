// What takes minutes, with every interval as it is by default.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Beat } from "../../../js/src/beat.js";
import { startTestbed } from "../support/testbed.js";
import { pause, within } from "../support/wait.js";
import { back, onTransport, withPeers } from "./scenario.js";
import { nodeWorld } from "./world.js";
import { assertZeros, drain } from "./zeros.js";

const IDLE_MS = 20_000;
/** Five times as long as an idle connection lives there. */
const SILENCE_MS = 5 * IDLE_MS;
/** Until a client has come to the longest of its pauses between attempts. */
const REFUSED_MS = 45_000;

describe("with patience, node", { concurrency: 3 }, () => {
  let world;
  let testbed;
  before(async () => {
    testbed = await startTestbed();
    world = nodeWorld(testbed);
  });
  after(() => testbed.stop());

  const seconds = { silence: SILENCE_MS / 1_000, idle: IDLE_MS / 1_000 };
  it(`one drop in ${seconds.silence} s of silence, ${seconds.idle} s of which kill`, { timeout: 150_000 }, async () => {
    await withPeers(world, {}, async ({ client, observer, faults }) => {
      await within("the joins", client.connect());
      await onTransport(client, "websocket");
      await faults.set([{ kill_idle_ms: IDLE_MS }]);
      await pause(SILENCE_MS);
      const { resets } = await faults.counters();
      assert.equal(resets, 1);
      await client.push(20);
      observer.push(20);
      await pause(500);
      assertZeros(await drain(client, observer));
      assert.equal((await client.status()).transport, "websocket");
    });
  });

  // The real run above shows that the class does what its clock says; ten minutes pass on a clock of their own.
  it("at most two drops in ten minutes there", () => {
    const end = 10 * 60_000;
    for (const startMs of [25_000, 60_000]) {
      const beat = new Beat(startMs, 0);
      let drops = 0;
      for (let now = 0; now < end; ) {
        const silence = Math.min(beat.ms(now, 60_000), IDLE_MS);
        now += silence;
        if (silence < IDLE_MS) continue;
        drops += 1;
        beat.killed(IDLE_MS, now);
      }
      assert.ok(drops >= 1 && drops <= 2, `${drops} drops`);
    }
  });

  it("back on WebSocket within a minute after it was refused for long", { timeout: 150_000 }, async () => {
    await withPeers(world, {}, async ({ client, observer, faults }) => {
      await faults.set([{ refuse_upgrade: 403 }]);
      await within("the joins", client.connect());
      await client.push(5);
      observer.push(5);
      await pause(REFUSED_MS);
      assert.equal((await client.status()).transport, "sse");
      await faults.lift();
      await back(client);
      assertZeros(await drain(client, observer));
    });
  });
});
