// The testbed as a node: what it says of its cluster, when it is ready, and how it goes.

import assert from "node:assert/strict";
import http from "node:http";
import { after, before, describe, it } from "node:test";
import { startTestbed } from "../clients/support/testbed.js";
import { until } from "../clients/support/wait.js";
import { connect } from "./support/client.js";
import { startCluster } from "./support/cluster.js";
import { engines } from "./support/engine.js";

for (const engine of engines) {
  describe(`the testbed as a node, ${engine}`, { timeout: 120_000 }, () => {
    let cluster;
    before(async () => (cluster = await startCluster(engine)));
    after(() => cluster?.stop());

    it("says who is there and how the engine does", async () => {
      for (const node of cluster.nodes) {
        const { cluster: seen } = await node.stats();
        assert.equal(seen.node, node.name);
        assert.deepEqual(seen.nodes.map(({ name }) => name).sort(), ["node-1", "node-2", "node-3"]);
        assert.ok(seen.nodes.every(({ state }) => state === "up"));
        const { up, since_ms, gaps, repaired, lost } = seen.engine;
        assert.deepEqual({ up, gaps, repaired, lost }, { up: true, gaps: 0, repaired: 0, lost: 0 });
        assert.ok(since_ms > 0);
      }
    });

    it("is ready while the engine is there", async () => {
      await cluster.engine.kill();
      for (const node of cluster.nodes) {
        await until("it is not ready", async () => !(await node.isReady()));
        const { engine } = (await node.stats()).cluster;
        assert.deepEqual([engine.up, engine.since_ms], [false, null]);
      }
      await cluster.engine.begin();
      await cluster.meet();
    });

    it("drains on SIGTERM", async () => {
      const [one, , three] = cluster.nodes;
      const client = await connect(three);
      await client.join("room:1");
      // Connections that are there are served while it goes down, and new ones are not taken.
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
      const ready = () => get(three, "/ready", agent);
      assert.equal(await ready(), 200);
      // One that does not answer the close keeps the node for some seconds.
      const silent = await mute(three);
      three.signal("SIGTERM");
      await until("the others know", async () => (await one.stats()).cluster.nodes.some(({ name, state }) => name === three.name && state === "draining"));
      assert.equal(await ready(), 503);
      await until("its client is sent away", () => client.closed === 1012);
      agent.destroy();
      assert.equal(await three.over, 0);
      silent.destroy();
      await cluster.remove(three);
      await cluster.meet();
    });
  });
}

describe("an ENGINE that cannot be used", () => {
  for (const [engine, says] of [
    ["http://127.0.0.1", /ENGINE is redis:\/\/…, unix:\/\/… or nats:\/\/…, and not "http"/],
    ["redis://", /ENGINE cannot be used: the address is none of a Redis/],
    ["nats://one:two:three", /ENGINE cannot be used: the address is none of a NATS/],
  ]) {
    it(`${engine} is an error at start`, { timeout: 30_000 }, async () => {
      await assert.rejects(startTestbed({ env: { ENGINE: engine } }), (error) => says.test(error.message) && /ended with 1/.test(error.message));
    });
  }

  it("an APP that is no name is an error at start", { timeout: 30_000 }, async () => {
    const env = { ENGINE: "redis://127.0.0.1:1", APP: "not a name" };
    await assert.rejects(startTestbed({ env }), /ENGINE cannot be used: .*name/);
  });
});

describe("a testbed without ENGINE", { timeout: 30_000 }, () => {
  it("is alone and ready", async () => {
    const testbed = await startTestbed({ env: { ENGINE: "" } });
    assert.equal(JSON.parse(await testbed.fetch("/stats")).cluster, null);
    assert.equal(await testbed.fetch("/ready"), "ready");
    await testbed.stop();
  });
});

function get(node, path, agent) {
  return new Promise((resolve, reject) => {
    http.get(`http://${node.address}${path}`, { agent }, (response) => response.resume().once("end", () => resolve(response.statusCode))).once("error", reject);
  });
}

/** A WebSocket that says nothing, whatever comes. */
function mute(node) {
  const headers = { Connection: "upgrade", Upgrade: "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==" };
  return new Promise((resolve, reject) => {
    const request = http.get(`http://${node.address}/socket/websocket?vsn=2.0.0`, { headers });
    request.once("upgrade", (_, socket) => resolve(socket)).once("error", reject);
  });
}
