// A server that is started anew, and what must not be in a URL: on any platform.

import assert from "node:assert/strict";
import { it } from "node:test";
import { startTestbed } from "../support/testbed.js";
import { pause, until, within } from "../support/wait.js";
import { startRecorder } from "./recorder.js";
import { back, onTransport, withPeers } from "./scenario.js";
import { assertZeros, drain } from "./zeros.js";

const AWAY_MS = 1_500;
/** A server that begins on a busy machine takes longer than a good path does. */
const STAGGER_MS = 10_000;

/** How a server ends: in good order, or not. */
const ends = { SIGTERM: "in good order", SIGKILL: "by a crash" };

/** A server that comes just as a client tries what is next may be found by that. */
const RESTARTS = 3;

export function restarts(world) {
  for (const [signal, how] of Object.entries(ends)) {
    it(`a restart ${how} leaves the client on WebSocket`, { timeout: 120_000 }, async () => {
      const here = await world();
      const carried = [];
      for (let n = 0; n < RESTARTS; n += 1) carried.push(await carriedAfterRestart(here, signal));
      const isStraight = (transports) => transports.join() === "websocket";
      assert.ok(carried.filter(isStraight).length > RESTARTS / 2, `it was carried by ${carried.join("; ")}`);
    });
  }
}

/** What has carried a client before its server was started anew, and since. */
async function carriedAfterRestart(world, signal) {
  let testbed = await startTestbed();
  const { port } = testbed;
  try {
    const options = { staggerMs: STAGGER_MS };
    return await withPeers({ ...world, testbed }, { options }, async ({ client }) => {
      await within("the joins", client.connect());
      await onTransport(client, "websocket");
      await testbed.stop(signal);
      await pause(AWAY_MS);
      testbed = await startTestbed({ port });
      // The session went with the server: the channels join again, as phoenix.js does it.
      await until("two joins more", async () => (await client.record()).joins === 4, 20_000);
      await back(client);
      return (await client.record()).transports;
    });
  } finally {
    await testbed.stop();
  }
}

/** `paths` are what must have been asked for, so that it means something. */
export function secrets(world, { how = "", paths = [/\/websocket\?/, /\/sse\?/, /\/longpoll\?/] } = {}) {
  it(`no secret is in a URL${how}`, { timeout: 60_000 }, async () => {
    const here = await world();
    const recorder = await startRecorder(here.testbed.port);
    const authToken = "a-secret-of-the-application";
    try {
      for (const transports of [["websocket", "sse", "longpoll"], ["sse"], ["longpoll"]]) {
        const setting = { port: recorder.port, authToken, options: { transports } };
        await withPeers(here, setting, async ({ client, observer }) => {
          await within("the joins", client.connect());
          for (const name of transports) {
            await client.deed("switchTo", name);
            await onTransport(client, name);
            await client.push(100);
            observer.push(100);
            await pause(200);
            await client.rest();
          }
          assertZeros(await drain(client, observer));
        });
      }
    } finally {
      await recorder.stop();
    }
    const targets = recorder.targets();
    for (const path of paths) assert.ok(targets.some((target) => path.test(target)), `${path} was asked for`);
    const tokens = recorder.tokens();
    assert.ok(tokens.length >= 3, `${tokens.length} tokens were seen`);
    // Long enough to tell, and short enough to find a part of it.
    const parts = [...tokens, authToken, btoa(authToken)].map((secret) => secret.slice(0, 16));
    for (const target of targets) {
      assert.ok(!parts.some((part) => target.includes(part)), `a secret is in ${target}`);
    }
  });
}
