// One version of the client: each of its transports through each scenario.

import { after, before, describe, it } from "node:test";
import { loadClient, transportsOf } from "./clients.js";
import { startTestbed } from "./testbed.js";
import { World } from "./world.js";
import { binary, binaryUpOnly } from "../scenarios/binary.js";
import { events } from "../scenarios/events.js";
import { heartbeat, recovery } from "../scenarios/recovery.js";
import { joining } from "../scenarios/joining.js";

/** Scenarios mostly wait; more at a time would only make each slower. */
const CONCURRENCY = 4;

export async function suite(version) {
  const client = await loadClient(version);
  const testbed = await startTestbed();
  describe(`phoenix ${version}`, () => {
    for (const transport of transportsOf(version, client)) {
      describe(transport.name, { concurrency: CONCURRENCY }, () => {
        before(transport.use);
        for (const [name, scenario] of Object.entries(scenariosOf(transport))) {
          it(name, { timeout: 150_000 }, async () => {
            const world = new World(testbed, client, transport);
            try {
              await scenario(world);
            } catch (error) {
              error.message += `\n${world.log()}`;
              throw error;
            } finally {
              await world.end();
            }
          });
        }
      });
    }
    after(() => testbed.stop());
  });
}

function scenariosOf({ name, binary: bytes }) {
  return {
    ...joining,
    ...events,
    ...recovery,
    ...(bytes === "both" ? binary : {}),
    ...(bytes === "up" ? binaryUpOnly : {}),
    ...(name === "WebSocket" ? heartbeat : {}),
  };
}
