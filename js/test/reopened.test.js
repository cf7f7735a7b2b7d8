// Sessions that are lost below phoenix.js, with the real server: what its page sees of it.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import WebSocket from "ws";
import { Lapwing } from "../src/index.js";
import { recover } from "../src/recover.js";
import { loadClient } from "../../tests/clients/support/clients.js";
import { startProxy } from "../../tests/clients/support/proxy.js";
import { startTestbed } from "../../tests/clients/support/testbed.js";
import { until, within } from "../../tests/clients/support/wait.js";
import { startEngine } from "../../tests/cluster/support/engine.js";

/** Sessions of this mount are kept for three seconds: on a machine that stands still for as long, one is lost by that. */
const SHORT = "/socket_short";
/** On a busy machine nothing is taken for dead that is only slow. */
const PATIENT = { attemptMs: 60_000, postMs: 20_000, patienceMs: 10_000, reopenMs: 120_000 };

let topics = 0;

/** A page with a channel on a topic that is kept, and what it saw. */
class Page {
  joins = 0;
  errors = 0;
  closes = [];
  heard = [];
  told = [];

  constructor({ Socket }, port, { mount = SHORT, topic = `kept:js-${process.pid}-${(topics += 1)}`, ...options } = {}) {
    this.topic = topic;
    const told = (type) => (event) => this.told.push([type, event.topic, event.reason ?? event.replayed]);
    const all = { WebSocket, storage: null, ...PATIENT, onGap: told("gap"), onRecovered: told("recovered"), ...options };
    this.socket = new Socket(`ws://127.0.0.1:${port}${mount}`, { transport: Lapwing.with(all), timeout: 60_000 });
    this.socket.onClose(({ code }) => this.closes.push(code));
    this.socket.connect();
    this.channel = this.socket.channel(topic);
    recover(this.channel);
    this.channel.onError(() => (this.errors += 1));
    this.channel.on("shout", ({ n }) => this.heard.push(n));
    this.channel.join().receive("ok", (reply) => {
      this.joins += 1;
      this.reply = reply;
      // Until it is joined a page has nothing to lose: whatever came before was the machine's.
      if (this.joins === 1) Object.assign(this, { errors: 0, closes: [], told: [] });
    });
    this.joined = until("the join", () => this.joins === 1, 60_000);
  }

  /** How often its session was lost. */
  get reopens() {
    return this.conn.status().reopens;
  }

  get conn() {
    return this.socket.conn;
  }

  /** What a push came to, as `"ok"` or `"error lost"`. */
  async push(event, payload = {}) {
    const outcome = new Promise((resolve) => {
      const push = this.channel.push(event, payload);
      push.receive("ok", () => resolve("ok")).receive("error", ({ reason }) => resolve(`error ${reason}`)).receive("timeout", resolve);
    });
    return within(`an answer to ${event}`, outcome, 60_000);
  }

  /** Says numbers, which are broadcast when this is over. */
  async say(...numbers) {
    for (const n of numbers) this.channel.push("shout", { n });
    assert.equal(await this.push("ping"), "ok");
  }

  async hears(...numbers) {
    await until(`the last of ${numbers}`, () => this.heard.length >= numbers.length);
    assert.deepEqual(this.heard, numbers);
  }

  assertUnbroken() {
    assert.deepEqual([this.joins, this.errors, this.closes], [1, 0, []]);
  }

  end() {
    return new Promise((resolve) => this.socket.disconnect(resolve));
  }
}

for (const version of ["1.7.21", "1.8.16"]) {
  const client = await loadClient(version);

  describe(`a lost session below phoenix.js ${version}`, { concurrency: true, timeout: 240_000 }, () => {
    let testbed;
    before(async () => (testbed = await startTestbed()));
    after(() => testbed.stop());

    for (const transport of ["websocket", "sse", "longpoll"]) {
      it(`whose window is over is replaced, and its page notices nothing, over ${transport}`, async () => {
        const proxy = await startProxy(testbed.port);
        const page = new Page(client, proxy.port, { transports: [transport] });
        const other = new Page(client, testbed.port, { topic: page.topic, mount: "/socket" });
        await Promise.all([page.joined, other.joined]);
        await other.say(1, 2);
        await page.hears(1, 2);
        proxy.down();
        await until("the loss", () => page.conn.status().state === "resuming");
        await other.say(3, 4);
        // What a request had tried to send may have been heard. A WebSocket that is not there sends nothing.
        const early = transport === "websocket" && page.push("ping");
        await until("the end of the window", () => page.conn.status().state === "reopening");
        page.channel.push("shout", { n: 5 });
        const answered = page.push("ping");
        proxy.up();
        const answers = await Promise.all([early || "ok", answered]);
        await other.say(6);
        // What was certainly not sent is sent by the next session, unless that is lost as well.
        const isOnce = page.reopens === 1;
        if (isOnce) assert.deepEqual(answers, ["ok", "ok"]);
        await until("the last", () => page.heard.at(-1) === 6);
        assert.deepEqual(page.heard, page.heard.length === 6 || isOnce ? [1, 2, 3, 4, 5, 6] : [1, 2, 3, 4, 6]);
        page.assertUnbroken();
        assert.ok(page.told.every(([type]) => type === "recovered"));
        if (isOnce) assert.deepEqual(page.told, [["recovered", page.topic, 2]]);
        await Promise.all([page.end(), other.end()]);
        await proxy.stop();
      });
    }

    it("whose server has forgotten everything has its page told, and joins again by itself", async () => {
      let server = await startTestbed();
      const page = new Page(client, server.port, { mount: "/socket" });
      await page.joined;
      await page.say(1);
      const answer = page.push("late_reply");
      await until("the push to have left", () => page.conn.status().acknowledged === page.conn.status().sent || page.told.length);
      await server.stop("SIGKILL");
      server = await startTestbed({ port: server.port });
      await until("the second join", () => page.joins === 2);
      assert.ok(["ok", "error lost"].includes(await answer));
      assert.deepEqual(page.told, [["gap", page.topic, "epoch"]]);
      assert.deepEqual([page.reply._recovered, page.reply._reason], [false, "epoch"]);
      assert.deepEqual([page.errors, page.closes], [1, []]);
      await page.say(2);
      await page.hears(1, 2);
      await page.end();
      await server.stop();
    });

    it("may be lost twice in a row", async () => {
      const proxy = await startProxy(testbed.port);
      const page = new Page(client, proxy.port);
      const other = new Page(client, testbed.port, { topic: page.topic, mount: "/socket" });
      await Promise.all([page.joined, other.joined]);
      for (const round of [1, 2]) {
        proxy.down();
        await other.say(round);
        await until("the end of the window", () => page.conn.status().state === "reopening");
        proxy.up();
        await until("another session", () => page.reopens >= round && page.conn.status().state === "open");
      }
      await page.hears(1, 2);
      page.assertUnbroken();
      await Promise.all([page.end(), other.end()]);
      await proxy.stop();
    });

    it("without an answer to a push has it fail, and sends it no second time", async () => {
      const proxy = await startProxy(testbed.port);
      const page = new Page(client, proxy.port);
      await page.joined;
      // It is answered by nothing at all, and so is like one whose answer is lost.
      const lost = page.push("noop");
      await until("the push to be heard", () => page.conn.status().acknowledged === page.conn.status().sent);
      proxy.down();
      assert.equal(await lost, "error lost");
      proxy.up();
      await until("another session", () => page.reopens > 0);
      await until("an answer", async () => (await page.push("ping")) === "ok");
      page.assertUnbroken();
      await page.end();
      await proxy.stop();
    });

    it("is the page's business when nobody is there for too long, and when that is not wanted", async () => {
      for (const reopenMs of [0, 500]) {
        const proxy = await startProxy(testbed.port);
        const page = new Page(client, proxy.port, { reopenMs });
        await page.joined;
        proxy.down();
        await until("the close", () => page.closes.length > 0);
        assert.ok([4404, 4408].includes(page.closes[0]), "the end of the session that was lost");
        proxy.up();
        await until("the second join", () => page.joins > 1, 60_000);
        assert.equal(page.reply._recovered, true, "by the page's own next join");
        await page.end();
        await proxy.stop();
      }
    });

    it("of a page that keeps nothing is its page's business", async () => {
      const proxy = await startProxy(testbed.port);
      const page = new Page(client, proxy.port, { topic: `room:js-${version}` });
      await page.joined;
      proxy.down();
      await until("the close", () => page.closes.length > 0);
      assert.deepEqual(page.told, []);
      proxy.up();
      await until("the second join", () => page.joins > 1, 60_000);
      await page.end();
      await proxy.stop();
    });

    it("may be closed by its page while there is no other yet: what waits is delivered, or that it was not is told", async () => {
      const proxy = await startProxy(testbed.port);
      const other = new Page(client, testbed.port, { mount: "/socket" });
      await other.joined;
      for (const isBack of [true, false]) {
        const page = new Page(client, proxy.port, { topic: other.topic, lingerMs: isBack ? 60_000 : 100 });
        await page.joined;
        proxy.down();
        await until("the end of the window", () => page.conn.status().state === "reopening");
        page.channel.push("shout", { n: isBack ? 1 : 2 });
        const { conn } = page;
        const closed = new Promise((resolve) => conn.addEventListener("close", ({ code }) => resolve(code)));
        conn.close();
        if (isBack) proxy.up();
        const code = await within("the close", closed);
        assert.ok(isBack ? code === 1000 : code === 1006, `${code}`);
        proxy.up();
        await page.end();
      }
      await other.hears(1);
      await other.end();
      await proxy.stop();
    });
  });
}

describe("a server that is started anew over a Redis", { timeout: 240_000 }, () => {
  let engine;
  before(async () => (engine = await startEngine("redis")));
  after(() => engine.stop());

  for (const version of ["1.7.21", "1.8.16"]) {
    it(`is noticed by no page with phoenix.js ${version}, which opens its next session with another token`, async () => {
      const client = await loadClient(version);
      const env = { ENGINE: engine.url(), APP: `js-${version.replaceAll(".", "-")}`, NODE: "one" };
      let server = await startTestbed({ env });
      const asked = [];
      // Who gives tokens goes down and comes back with the server.
      let isAway = false;
      const getToken = (before) => {
        const token = `ada:${asked.push(before) * 1_000_000}`;
        return isAway ? Promise.reject(new Error("502")) : token;
      };
      const page = new Page(client, server.port, { mount: "/socket_login", getToken });
      await page.joined;
      await page.say(1);
      await page.hears(1);
      isAway = true;
      await server.stop();
      await until("the loss", () => page.conn.status().state === "reopening");
      await until("a token that cannot be had", () => asked.length >= 2);
      const waiting = page.push("ping");
      server = await startTestbed({ env, port: server.port });
      isAway = false;
      const other = new Page(client, server.port, { topic: page.topic, mount: "/socket" });
      await other.joined;
      await other.say(2);
      assert.equal(await waiting, "ok");
      await page.hears(1, 2);
      page.assertUnbroken();
      assert.equal(page.told[0][0], "recovered");
      assert.deepEqual(asked.slice(0, 2), [undefined, { code: 1012, reason: "draining" }]);
      await Promise.all([page.end(), other.end()]);
      await server.stop();
    });
  }
});
