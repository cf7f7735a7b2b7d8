// phoenix.js over this transport against the real server: tests/testbed, which must have been built.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import WebSocket from "ws";
import { Socket } from "phoenix-1.8.16";
import { Lapwing } from "../src/index.js";
import { EventReader } from "../src/transports/events.js";
import { startProxy } from "../../tests/clients/support/proxy.js";
import { startTestbed } from "../../tests/clients/support/testbed.js";
import { pause, until, within } from "../../tests/clients/support/wait.js";

const ALL = ["websocket", "sse", "longpoll"];

let testbed;
before(async () => (testbed = await startTestbed()));
after(() => testbed.stop());

let topics = 0;

/** A socket with a joined channel, and how often what happened. */
class Client {
  opens = 0;
  closes = [];
  joins = 0;
  heard = [];
  visited = new Set();

  constructor({ port = testbed.port, mount = "/socket", topic = `room:js-${(topics += 1)}`, ...options } = {}) {
    this.topic = topic;
    const onStatus = ({ transport }) => this.visited.add(transport);
    const transport = Lapwing.with({ WebSocket, onStatus, ...options });
    this.socket = new Socket(`ws://127.0.0.1:${port}${mount}`, { transport });
    this.socket.onOpen(() => (this.opens += 1));
    this.socket.onClose(({ code, reason }) => this.closes.push(`${code} ${reason}`));
    this.socket.connect();
    this.channel = this.socket.channel(topic);
    this.channel.on("shout", ({ n }) => this.heard.push(n));
    this.joined = new Promise((resolve) => {
      this.channel.join().receive("ok", () => {
        this.joins += 1;
        resolve();
      });
    });
  }

  get conn() {
    return this.socket.conn;
  }

  get transport() {
    return this.conn.status().transport;
  }

  async on(transport) {
    await until(`the session on ${transport}`, () => this.transport === transport);
  }

  /** A push, and what comes back. */
  ask(event, payload) {
    const answer = new Promise((resolve, reject) => {
      this.channel.push(event, payload).receive("ok", resolve).receive("error", reject).receive("timeout", reject);
    });
    return within(`the answer to ${event}`, answer);
  }

  assertUnbroken() {
    assert.deepEqual([this.opens, this.joins, this.closes], [1, 1, []]);
  }

  end() {
    return new Promise((resolve) => this.socket.disconnect(resolve));
  }
}

for (const transport of ALL) {
  describe(`over ${transport} alone`, () => {
    it("opens, joins, pushes, and carries bytes both ways", async () => {
      const client = new Client({ transports: [transport] });
      await within("the join", client.joined);
      assert.equal(client.transport, transport);
      assert.deepEqual(await client.ask("ping", { text: '"!*\n☃' }), { text: '"!*\n☃' });
      const bytes = Uint8Array.of(0, 1, 128, 255);
      assert.deepEqual(new Uint8Array(await client.ask("bin_reply", bytes.buffer)), bytes);
      await client.end();
    });

    it("a message of a megabyte goes up and comes back", async () => {
      const client = new Client({ transports: [transport] });
      const text = "0123456789abcdef".repeat(65_536);
      await within("the join", client.joined);
      assert.deepEqual(await client.ask("ping", { text }), { text });
      client.assertUnbroken();
      await client.end();
    });

    it("what is pushed while nothing carries the session arrives, and nobody joins again", async () => {
      const client = new Client({ transports: [transport] });
      await within("the join", client.joined);
      for (let n = 0; n < 5; n += 1) {
        client.conn.cut();
        assert.equal(client.conn.status().state, "resuming");
        assert.deepEqual(await client.ask("ping", { n }), { n });
      }
      client.assertUnbroken();
      assert.equal(client.conn.status().resumes, 5);
      await client.end();
    });

    it("a page that leaves ends its session on the server", async () => {
      const watcher = new Client({ topic: `presence:js-${transport}` });
      await within("the join", watcher.joined);
      const left = new Promise((resolve) => watcher.channel.on("presence_diff", ({ leaves }) => leaves.anon && resolve()));
      const client = new Client({ transports: [transport], topic: watcher.topic });
      await within("the join", client.joined);
      await client.end();
      assert.deepEqual(client.closes, ["1000 "]);
      await within("the news that it left", left);
      await watcher.end();
    });
  });
}

describe("over all of them", () => {
  it("the session moves, and nothing is lost, doubled or out of order", async () => {
    const client = new Client();
    const other = new Client({ topic: client.topic });
    await within("the joins", Promise.all([client.joined, other.joined]));
    let sent = 0;
    const talk = setInterval(() => {
      client.channel.push("shout_from", { n: sent });
      other.channel.push("shout_from", { n: sent });
      sent += 1;
    }, 5);
    for (const transport of ["sse", "longpoll", "websocket", "longpoll", "sse", "websocket"]) {
      client.conn.switchTo(transport);
      await client.on(transport);
      await pause(150);
      client.conn.cut();
      await client.on(transport);
    }
    clearInterval(talk);
    for (const { heard } of [client, other]) {
      await until("the last message", () => heard.length === sent);
      assert.deepEqual(heard, Array.from({ length: sent }, (_, n) => n));
    }
    client.assertUnbroken();
    await Promise.all([client.end(), other.end()]);
  });

  it("what the page forbids is left, and used again when it is allowed", async () => {
    const client = new Client();
    await within("the join", client.joined);
    client.conn.forbid("websocket");
    await client.on("sse");
    client.conn.forbid("sse");
    await client.on("longpoll");
    client.conn.allow("websocket");
    await client.on("websocket");
    client.assertUnbroken();
    await client.end();
  });

  it("one request at a time is enough", async () => {
    const client = new Client({ transports: ["longpoll"], singleRequest: true });
    await within("the join", client.joined);
    for (let n = 0; n < 20; n += 1) assert.deepEqual(await client.ask("ping", { n }), { n });
    client.assertUnbroken();
    await client.end();
  });

  it("connections that are reset again and again are replaced", async () => {
    const proxy = await startProxy(testbed.port);
    const client = new Client({ port: proxy.port });
    await within("the join", client.joined);
    for (let n = 0; n < 10; n += 1) {
      proxy.cut();
      assert.deepEqual(await client.ask("ping", { n }), { n });
    }
    client.assertUnbroken();
    await client.end();
    await proxy.stop();
  });

  it("a server that is away for two seconds moves nobody off WebSocket", async () => {
    const proxy = await startProxy(testbed.port);
    const client = new Client({ port: proxy.port });
    await within("the join", client.joined);
    proxy.down();
    await until("the loss", () => client.conn.status().state === "resuming");
    await pause(2_000);
    proxy.up();
    assert.deepEqual(await client.ask("ping", {}), {});
    await client.on("websocket");
    client.assertUnbroken();
    await client.end();
    await proxy.stop();
  });

  it("more than may be kept closes the session, and says so", async () => {
    const proxy = await startProxy(testbed.port);
    const client = new Client({ port: proxy.port, keptFramesMax: 10, stallMs: 0 });
    await within("the join", client.joined);
    proxy.down();
    await until("the loss", () => client.conn.status().state === "resuming");
    for (let n = 0; n < 20; n += 1) client.channel.push("noop", {});
    await until("the close", () => client.closes.length > 0);
    assert.equal(client.closes[0], "4413 too much is not acknowledged");
    await client.end();
    await proxy.stop();
  });

  it("without any way to the server there is an error and a close, as with a WebSocket", async () => {
    const proxy = await startProxy(testbed.port);
    proxy.down();
    const lapwing = new (Lapwing.with({ WebSocket }))(`http://127.0.0.1:${proxy.port}/socket`);
    const events = [];
    for (const type of ["open", "error", "close"]) lapwing.addEventListener(type, () => events.push(type));
    await within("the close", new Promise((resolve) => lapwing.addEventListener("close", resolve)));
    assert.deepEqual(events, ["error", "close"]);
    assert.equal(lapwing.readyState, Lapwing.CLOSED);
    await proxy.stop();
  });

  it("an EventSource will do where bodies of answers cannot be read as they come", async () => {
    const client = new Client({ transports: ["sse"], streams: false, EventSource: FetchedEvents });
    await within("the join", client.joined);
    for (let n = 0; n < 3; n += 1) {
      client.conn.cut();
      assert.deepEqual(await client.ask("ping", { n }), { n });
    }
    client.assertUnbroken();
    await client.end();
  });

  it("nothing that shows itself has the token", async () => {
    const client = new Client();
    await within("the join", client.joined);
    const { inspect } = await import("node:util");
    const shown = inspect(client.conn, { depth: 9, showHidden: true }) + JSON.stringify(client.conn.status());
    assert.doesNotMatch(shown, /[\w-]{38}/);
    await client.end();
  });
});

/** As much of an `EventSource` as there is need for: Node 20 has none. */
class FetchedEvents {
  #controller = new AbortController();

  constructor(url) {
    this.#read(url).catch(() => {}).then(() => this.onerror?.());
  }

  close() {
    this.onerror = undefined;
    this.#controller.abort();
  }

  async #read(url) {
    const { body } = await fetch(url, { signal: this.#controller.signal });
    const reader = new EventReader();
    const decoder = new TextDecoder();
    for await (const piece of body) {
      for (const data of reader.read(decoder.decode(piece, { stream: true }))) this.onmessage({ data });
    }
  }
}
