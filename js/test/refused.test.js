// Messages that something on the way, or the server, will never take: the session ends and says so, and sends nothing for ever.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import WebSocket from "ws";
import { Lapwing } from "../src/index.js";
import { startBox } from "../../tests/clients/support/box.js";
import { startTestbed } from "../../tests/clients/support/testbed.js";
import { until, within } from "../../tests/clients/support/wait.js";

const UNSENDABLE = 4422;
const MEGABYTE = 1_000_000;
const HTTP = [
  ["event stream", { transports: ["sse"] }],
  ["long-poll", { transports: ["longpoll"] }],
  ["long-poll with one request at a time", { transports: ["longpoll"], singleRequest: true }],
];

let testbed;
before(async () => (testbed = await startTestbed()));
after(() => testbed.stop());

/** A session without phoenix.js. A heartbeat's reply says that it arrived. */
class Client {
  ends = [];
  answered = new Set();

  constructor(port, options) {
    // Each has a path of its own: what one has learned of the network is no news for the next.
    this.session = new (Lapwing.with({ WebSocket, storage: null, ...options }))(`ws://127.0.0.1:${port}/socket?vsn=2.0.0`);
    this.opened = within("the session", new Promise((resolve) => (this.session.onopen = resolve)));
    this.closed = new Promise((resolve) => {
      this.session.onclose = ({ code, reason }) => resolve(this.ends.push(`${code} ${reason}`));
    });
    this.session.onerror = ({ message }) => this.ends.push(`error: ${message}`);
    this.session.onmessage = ({ data }) => this.answered.add(Number(JSON.parse(data)[1]));
  }

  send(ref, pad = "") {
    this.session.send(JSON.stringify([null, String(ref), "phoenix", "heartbeat", { pad }]));
  }

  async arrives(ref) {
    await until(`the answer to ${ref}`, () => this.answered.has(ref), 30_000);
  }

  async endsWith(pattern) {
    await within("the end", this.closed, 60_000);
    assert.match(this.ends.at(-1), pattern);
    assert.match(this.ends[0], /^error: /, "an error comes before");
  }
}

async function behind(options, box, test) {
  const { port, counts, stop } = await startBox(testbed.port, box);
  const client = new Client(port, options);
  try {
    await client.opened;
    await test(client, counts);
  } finally {
    client.session.close();
    await stop();
  }
}

for (const [name, options] of [["WebSocket", { transports: ["websocket"] }], ...HTTP]) {
  it(`a message that is more than the server takes does not leave, over ${name}`, async () => {
    await behind(options, {}, async (client, counts) => {
      client.send(1);
      client.session.send("x".repeat(10_000_001));
      await client.endsWith(/^4422 a message of 10000001 bytes is more than the server takes$/);
      assert.ok(counts.bytes < MEGABYTE, `${counts.bytes} bytes`);
    });
  });

  it(`the largest that the server takes arrives, and is counted in bytes, over ${name}`, async () => {
    await behind(options, {}, async (client) => {
      const frame = (pad) => JSON.stringify([null, "1", "phoenix", "heartbeat", { pad }]);
      const room = 10_000_000 - frame("").length;
      client.session.send(frame("x".repeat(room)));
      await client.arrives(1);
      client.session.send(frame(`${"x".repeat(room - 1)}é`));
      await client.endsWith(/^4422 a message of 10000001 bytes/);
    });
  });
}

for (const [name, options] of HTTP) {
  describe(`over ${name}`, () => {
    it("a proxy that takes a megabyte ends the session that has a larger message, after what came before", async () => {
      const refuse = ({ body }) => (body.length > MEGABYTE ? 413 : undefined);
      await behind(options, { refuse }, async (client, counts) => {
        client.send(1);
        client.send(2, "x".repeat(1.5 * MEGABYTE));
        client.send(3);
        await client.endsWith(/^4422 a message of 15000\d\d bytes does not get through: http 413$/);
        assert.ok(client.answered.has(1), "the one before it arrived");
        assert.ok(counts.refused <= 4, `${counts.refused} requests were refused`);
        assert.equal(client.session.status().singleRequest, Boolean(options.singleRequest), "nothing is learned from it");
      });
    });

    it("a firewall that dislikes one message ends the session that has it, and the others arrive", async () => {
      const refuse = ({ body }) => (body.includes("DROP TABLE") ? 403 : undefined);
      await behind(options, { refuse }, async (client, counts) => {
        for (let ref = 1; ref <= 20; ref += 1) client.send(ref, ref === 15 ? "DROP TABLE" : "");
        await client.endsWith(/^4422 a message of \d+ bytes does not get through: http 403$/);
        assert.deepEqual([...client.answered].sort((a, b) => a - b), Array.from({ length: 14 }, (_, n) => n + 1));
        assert.ok(counts.refused <= 16, `${counts.refused} requests were refused`);
      });
    });

    it("a box that refuses everything for a while ends nothing", async () => {
      let left = 0;
      const refuse = () => (left > 0 ? ((left -= 1), 403) : undefined);
      await behind(options, { refuse }, async (client) => {
        left = 8;
        client.send(1);
        await client.arrives(1);
        assert.deepEqual([client.ends, left], [[], 0]);
      });
    });
  });
}

it("a connection that is reset whenever it carries a message ends the session after so many tries, over WebSocket", async () => {
  const options = { transports: ["websocket"], retryMs: { min: 10, max: 50 } };
  await behind(options, { upgradedBytesMax: MEGABYTE }, async (client, counts) => {
    client.send(1);
    await client.arrives(1);
    client.send(2, "x".repeat(1.5 * MEGABYTE));
    client.send(3);
    await client.endsWith(/^4422 a message of 15000\d\d bytes does not get through: closed$/);
    assert.ok(counts.upgrades <= 11, `${counts.upgrades} connections`);
  });
});

it("what no WebSocket carries goes by requests where they do", async () => {
  await behind({}, { upgradedBytesMax: MEGABYTE }, async (client) => {
    client.send(1, "x".repeat(1.5 * MEGABYTE));
    await client.arrives(1);
    assert.deepEqual(client.ends, []);
  });
});
