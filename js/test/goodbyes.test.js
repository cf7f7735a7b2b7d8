// The end of a session that the page closes: what was sent before arrives, or the page is told that it did not.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import WebSocket from "ws";
import { Lapwing } from "../src/index.js";
import { startProxy } from "../../tests/clients/support/proxy.js";
import { startTestbed } from "../../tests/clients/support/testbed.js";
import { until, within } from "../../tests/clients/support/wait.js";

const ALL = ["websocket", "sse", "longpoll"];

let testbed;
before(async () => (testbed = await startTestbed()));
after(() => testbed.stop());

let topics = 0;

/** A session in a room, without phoenix.js, which would wait before it closes. */
async function joined({ port = testbed.port, topic = `room:goodbye-${(topics += 1)}`, ...options }) {
  const session = new (Lapwing.with({ WebSocket, storage: null, ...options }))(`ws://127.0.0.1:${port}/socket?vsn=2.0.0`);
  const heard = [];
  let isJoined = false;
  session.onmessage = ({ data }) => {
    const [, , , event, payload] = JSON.parse(data);
    if (event === "phx_reply") isJoined = true;
    if (event === "shout") heard.push(payload.n);
  };
  const closed = new Promise((resolve) => (session.onclose = resolve));
  await within("the session", new Promise((resolve) => (session.onopen = resolve)));
  session.send(JSON.stringify(["1", "1", topic, "phx_join", {}]));
  await until("the join", () => isJoined);
  const shout = (n, text = "") => session.send(JSON.stringify(["1", null, topic, "shout_from", { n, text }]));
  return { session, topic, heard, shout, closed };
}

for (const transport of ALL) {
  describe(`a session that is closed, over ${transport}`, () => {
    const transports = [transport];

    it("has said everything before, however much and in whatever characters", async () => {
      const other = await joined({});
      const client = await joined({ transports, topic: other.topic });
      client.shout(0, "中".repeat(30_000));
      for (let n = 1; n < 700; n += 1) client.shout(n);
      client.session.close();
      const { code, wasClean } = await within("the close", client.closed, 20_000);
      assert.deepEqual([code, wasClean], [1000, true]);
      await until("the last message", () => other.heard.length >= 700);
      assert.deepEqual(other.heard, Array.from({ length: 700 }, (_, n) => n));
      other.session.close();
    });

    it("has said what was sent while nothing carried it", async () => {
      const other = await joined({});
      const client = await joined({ transports, topic: other.topic });
      client.session.cut();
      client.shout(7);
      client.session.close();
      await within("the close", client.closed, 20_000);
      await until("the message", () => other.heard.length === 1);
      assert.deepEqual(other.heard, [7]);
      other.session.close();
    });

    it("says that not everything was delivered if that is so", async () => {
      const proxy = await startProxy(testbed.port);
      const client = await joined({ transports, port: proxy.port, lingerMs: 300 });
      proxy.down();
      client.shout(1);
      client.session.close();
      const { code, reason, wasClean } = await within("the close", client.closed, 20_000);
      assert.deepEqual([code, reason, wasClean], [1006, "not everything was delivered", false]);
      await proxy.stop();
    });

    it("closes at once when nothing is under way", async () => {
      const client = await joined({ transports });
      await until("all to be acknowledged", () => {
        const { sent, acknowledged } = client.session.status();
        if (sent === acknowledged) return true;
        client.session.cut();
        return false;
      });
      client.session.close();
      assert.equal(Lapwing.instances.has(client.session), false);
      await within("the close", client.closed);
    });
  });
}

describe("a page that goes", () => {
  /** Runs in a page that goes, of which there is as much as the transport looks for. */
  async function inPage(test) {
    const page = new EventTarget();
    globalThis.addEventListener = page.addEventListener.bind(page);
    globalThis.removeEventListener = page.removeEventListener.bind(page);
    const tell = (type, persisted) => page.dispatchEvent(Object.assign(new Event(type), { persisted }));
    const hide = () => tell("pagehide", false);
    try {
      await test(hide, tell);
    } finally {
      delete globalThis.addEventListener;
      delete globalThis.removeEventListener;
    }
  }

  /** A browser's rule for requests that outlive their page, and what was asked of it. */
  function browserFetch() {
    const asked = [];
    let kept = 0;
    const fetch = async (url, options) => {
      const bytes = Buffer.byteLength(options.body);
      if (options.keepalive) {
        const isRefused = kept + bytes > 65_536;
        asked.push({ bytes, isRefused });
        if (isRefused) throw new TypeError("Failed to fetch");
        kept += bytes;
      }
      try {
        return await globalThis.fetch(url, { ...options, keepalive: undefined });
      } finally {
        if (options.keepalive) kept -= bytes;
      }
    };
    return { fetch, asked };
  }

  it("takes along what waits, as much as a browser lets it, and ends every session", async () => {
    const other = await joined({});
    await inPage(async (hide) => {
      const { fetch, asked } = browserFetch();
      // Two that fit together, if bytes are counted and not characters, but for the last message of the second.
      const pages = [];
      for (let n = 0; n < 2; n += 1) pages.push(await joined({ transports: ["longpoll"], topic: other.topic, fetch }));
      for (const [at, { session, shout }] of pages.entries()) {
        session.cut();
        shout(10 * at, "中".repeat(13_000));
        shout(10 * at + 1, "中".repeat(13_000));
      }
      hide();
      assert.ok(asked.length >= 2 && asked.every(({ isRefused }) => !isRefused), JSON.stringify(asked));
      assert.ok(asked.reduce((sum, { bytes }) => sum + bytes, 0) <= 65_536);
      await until("what fits", () => other.heard.length >= 1);
      await Promise.all(pages.map(({ closed }) => within("the close", closed)));
      assert.deepEqual(other.heard, [0]);
    });
    other.session.close();
  });

  it("tries without the browser's promise when that is refused", async () => {
    const other = await joined({});
    await inPage(async (hide) => {
      const refusing = async (url, { keepalive, ...options }) => {
        if (keepalive) throw new TypeError("Failed to fetch");
        return globalThis.fetch(url, options);
      };
      const client = await joined({ transports: ["longpoll"], topic: other.topic, fetch: refusing });
      client.session.cut();
      client.shout(5);
      hide();
      assert.equal(Lapwing.instances.has(client.session), false);
      await until("the message", () => other.heard.length === 1);
      assert.deepEqual(other.heard, [5]);
    });
    other.session.close();
  });

  it("says what waits also when it may come back, and goes on when it does", async () => {
    const other = await joined({});
    await inPage(async (_hide, tell) => {
      for (const [at, transport] of ALL.entries()) {
        const client = await joined({ topic: other.topic, transports: [transport] });
        client.shout(10 * at);
        tell("pagehide", true);
        await until("the message", () => other.heard.length === 2 * at + 1);
        tell("pageshow", true);
        client.shout(10 * at + 1);
        await until("the next one", () => other.heard.length === 2 * at + 2);
        client.session.close();
        await within("the close", client.closed);
      }
      assert.deepEqual(other.heard, [0, 1, 10, 11, 20, 21]);
    });
    other.session.close();
  });

  it("says what its own listener says when it goes, also if nothing carries the session any more", async () => {
    const other = await joined({});
    await inPage(async (hide) => {
      let client;
      addEventListener("pagehide", () => {
        client.session.cut();
        client.shout(1);
      });
      client = await joined({ topic: other.topic, transports: ["websocket"] });
      hide();
      assert.equal(Lapwing.instances.has(client.session), false);
      await until("the message", () => other.heard.length === 1);
      assert.deepEqual(other.heard, [1]);
    });
    other.session.close();
  });
});
