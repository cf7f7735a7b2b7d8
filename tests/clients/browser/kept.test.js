// Kept topics in a real browser: pages that sleep for longer than their session lasts, servers that are started anew, and a browser
// that is closed and opened again; with our transport and with stock phoenix.js.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { chromium } from "playwright-core";
import { launchChromium, quiet } from "../engines/chromium.js";
import { findBrowser } from "../support/browsers.js";
import { loadClient } from "../support/clients.js";
import { openPage } from "../support/page.js";
import { freePort } from "../support/ports.js";
import { startTestbed } from "../support/testbed.js";
import { until, within } from "../support/wait.js";

const VERSIONS = ["1.7.21", "1.8.16"];
/** Sessions of this mount are kept for three seconds. */
const SHORT = "/socket_short";

let topics = 0;
const newTopic = () => `kept:browser-${process.pid}-${(topics += 1)}`;

describe("kept topics in Chromium", { timeout: 300_000 }, () => {
  let testbed, browser;

  before(async () => {
    testbed = await startTestbed();
    browser = await launchChromium();
  });

  after(async () => {
    await browser?.close();
    await testbed?.stop();
  });

  for (const version of VERSIONS) {
    it(`a page with phoenix.js ${version} that slept for longer than its session lasts notices nothing`, async () => {
      const topic = newTopic();
      const other = await speaker(testbed, topic);
      const page = await open(await browser.newContext(), testbed);
      await page.evaluate(listen, { version, transport: "lapwing", mount: SHORT, topic });
      await other.say(1);
      await page.waitForFunction(() => window.seen.heard.length === 1);
      const devtools = await page.context().newCDPSession(page);
      const sessions = await countSessions(testbed);
      // As by sleep, none of its code runs from here on: the next thing that the server says finds it stopped.
      await devtools.send("Debugger.enable");
      const asleep = new Promise((resolve) => devtools.once("Debugger.paused", resolve));
      await devtools.send("Debugger.pause");
      await within("the sleep", asleep);
      await until("the session is over", async () => (await countSessions(testbed)) < sessions);
      await other.say(2, 3);
      await devtools.send("Debugger.disable");
      await page.waitForFunction(() => window.seen.heard.length === 3);
      const { heard, joins, errors, closes, told, status } = await page.evaluate(look);
      assert.deepEqual({ heard, joins, errors, closes }, { heard: [1, 2, 3], joins: 1, errors: 0, closes: 0 });
      assert.deepEqual(told, [["recovered", topic, 2]]);
      assert.deepEqual([status.state, status.reopens], ["open", 1]);
      await page.close();
      await other.end();
    });

    it(`a page with phoenix.js ${version} whose server has forgotten everything is told`, async () => {
      const topic = newTopic();
      let server = await startTestbed({ port: await freePort() });
      const page = await open(await browser.newContext(), server);
      await page.evaluate(listen, { version, transport: "lapwing", mount: "/socket", topic });
      await page.waitForFunction(() => window.seen.joins === 1);
      await server.stop("SIGKILL");
      server = await startTestbed({ port: server.port });
      await page.waitForFunction(() => window.seen.joins === 2);
      const { errors, closes, told, reply } = await page.evaluate(look);
      assert.deepEqual({ errors, closes, told }, { errors: 1, closes: 0, told: [["gap", topic, "epoch"]] });
      assert.deepEqual([reply._recovered, reply._reason], [false, "epoch"]);
      const other = await speaker(server, topic);
      await other.say(1);
      await page.waitForFunction(() => window.seen.heard.length === 1);
      await page.close();
      await other.end();
      await server.stop();
    });
  }
});

describe("a Chromium that is closed and opened again", { timeout: 300_000 }, () => {
  let testbed, folder;

  before(async () => {
    testbed = await startTestbed();
    folder = mkdtempSync(join(tmpdir(), "lapwing-profile-"));
  });

  after(async () => {
    await testbed?.stop();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  it("gets what was said meanwhile, once and in order, by every transport and version", async () => {
    const runs = VERSIONS.flatMap((version) => ["lapwing", "websocket", "longpoll"].map((transport) => ({ version, transport, topic: newTopic() })));
    const others = await Promise.all(runs.map(({ topic }) => speaker(testbed, topic)));
    const visit = async (check) => {
      const options = { executablePath: findBrowser("chromium"), args: quiet };
      const context = await chromium.launchPersistentContext(folder, options);
      for (const [at, run] of runs.entries()) {
        const page = await open(context, testbed);
        await page.evaluate(listen, { ...run, mount: "/socket" });
        await check(page, others[at], run);
      }
      await context.close();
    };
    await visit(async (page, other) => {
      await other.say(1, 2);
      await page.waitForFunction(() => window.seen.heard.length === 2);
    });
    for (const other of others) await other.say(3, 4);
    await visit(async (page, other, { version, transport }) => {
      await page.waitForFunction(() => window.seen.heard.length === 2);
      await other.say(5);
      await page.waitForFunction(() => window.seen.heard.length === 3);
      const { heard, reply } = await page.evaluate(look);
      assert.deepEqual([heard, reply._recovered, reply._replayed], [[3, 4, 5], true, 2], `${version} over ${transport}`);
    });
    await Promise.all(others.map((other) => other.end()));
  });
});

/** A page of the server's origin. Neither client is a part of the server: the test hands out their files. */
async function open(context, { address }) {
  const page = await openPage(context, `http://${address}/health`);
  page.setDefaultTimeout(60_000);
  return page;
}

/** In the page: listens to a topic from where the last page of this browser's stopped, and notes what it sees. */
async function listen({ version, transport, mount, topic }) {
  const { Socket, LongPoll } = await import(`/client/node_modules/phoenix-${version}/priv/static/phoenix.mjs`);
  const { Lapwing } = await import("/client/js/src/index.js");
  const { recover } = await import("/client/js/src/recover.js");
  const seen = { heard: [], joins: 0, errors: 0, closes: 0, told: [] };
  const note = (type) => (event) => seen.told.push([type, event.topic, event.reason ?? event.replayed]);
  const ours = Lapwing.with({ onGap: note("gap"), onRecovered: note("recovered") });
  const transports = { lapwing: ours, websocket: WebSocket, longpoll: LongPoll };
  const socket = new Socket(mount, { transport: transports[transport] });
  socket.onClose(() => (seen.closes += 1));
  socket.connect();
  const channel = socket.channel(topic);
  const position = recover(channel, localStorage.getItem(topic) ?? "");
  channel.onError(() => (seen.errors += 1));
  channel.on("shout", ({ n }) => {
    seen.heard.push(n);
    localStorage.setItem(topic, position());
  });
  window.seen = seen;
  window.statusNow = () => socket.conn?.status?.();
  await new Promise((resolve) =>
    channel.join().receive("ok", (reply) => {
      seen.joins += 1;
      seen.reply = reply;
      localStorage.setItem(topic, position());
      resolve();
    }),
  );
}

function look() {
  return { ...window.seen, status: window.statusNow() };
}

const countSessions = async (testbed) => JSON.parse(await testbed.fetch("/stats")).sessions;

/** Somebody who speaks on a topic. */
async function speaker({ address }, topic) {
  const { Socket } = await loadClient("1.8.16");
  const socket = new Socket(`ws://${address}/socket`, { transport: globalThis.WebSocket });
  socket.connect();
  const channel = socket.channel(topic);
  const ok = (push) => within("an answer", new Promise((resolve) => push.receive("ok", resolve)));
  await ok(channel.join());
  return {
    /** Says numbers, which are broadcast when this is over. */
    say: async (...numbers) => {
      for (const n of numbers) channel.push("shout", { n });
      await ok(channel.push("ping", {}));
    },
    end: () => new Promise((resolve) => socket.disconnect(resolve)),
  };
}
