// Why a connection was closed arrives, though the client is still sending: in Node's own WebSocket, and in `ws`.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import WebSocket from "ws";
import { BREACHES, closeCodes, startBreaker } from "./support/broken.js";
import { startTestbed } from "./support/testbed.js";

const TIMES = Number(process.env.TIMES ?? 100);
/** Twice what a mount takes. */
const FAR_TOO_MUCH = 20_000_000;

const clients = {
  ws: (url, length, times) => closeCodes(WebSocket, url, "x".repeat(length), times),
  /** In a program of its own: Node 20 has it only when it is asked. */
  node: async (url, length, times) => {
    const script = fileURLToPath(new URL("./support/close_codes.js", import.meta.url));
    const args = ["--experimental-websocket", "--no-warnings", script, url, length, times];
    const { stdout } = await promisify(execFile)(process.execPath, args.map(String));
    return JSON.parse(stdout);
  },
};

describe("why a connection was closed", { timeout: 600_000 }, () => {
  let testbed;
  const breakers = {};

  before(async () => {
    testbed = await startTestbed();
    for (const [code, breach] of Object.entries(BREACHES)) breakers[code] = await startBreaker(testbed.port, breach);
  });

  after(async () => {
    for (const breaker of Object.values(breakers)) await breaker.stop();
    await testbed?.stop();
  });

  for (const [name, codes] of Object.entries(clients)) {
    for (const code of Object.keys(BREACHES)) {
      it(`is told to ${name}: ${code}`, async () => {
        const url = `ws://127.0.0.1:${breakers[code].port}/socket/websocket?vsn=2.0.0`;
        // What follows the breach is more than buffers on the way hold.
        assert.deepEqual(await codes(url, 2_000_000, TIMES), { [code]: TIMES });
      });
    }

    it(`is told to ${name}: 1009`, async () => {
      const url = `ws://${testbed.address}/socket/websocket?vsn=2.0.0`;
      assert.deepEqual(await codes(url, FAR_TOO_MUCH, TIMES), { 1009: TIMES });
    });
  }
});
