// One session in a real browser: moved by the demo's switches, put into the back/forward cache, taken off the network.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { launchChromium } from "../engines/chromium.js";
import { root, startDemo } from "../support/testbed.js";
import { until } from "../support/wait.js";

const output = join(root, "tests/output");

describe("a session in Chromium", { timeout: 120_000 }, () => {
  let server, browser, ann, ben;

  before(async () => {
    mkdirSync(output, { recursive: true });
    server = await startDemo();
    // Playwright turns the cache off, since few tests can do with it.
    browser = await launchChromium({ ignoreDefaultArgs: ["--disable-back-forward-cache"] });
    ann = await open("Ann");
    ben = await open("Ben");
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  it("moves from transport to transport as the switches say, and every message arrives once and in order", async () => {
    const before = await sessionOf(ann);
    const texts = [];
    const says = async (transport) => {
      await carriedBy(ann, transport);
      for (const page of [ann, ben]) {
        texts.push(`by ${transport}, ${texts.length}`);
        await say(page, texts.at(-1));
        await ben.locator(".text", { hasText: texts.at(-1) }).waitFor();
      }
    };
    await says("WebSocket");
    await ann.locator("#use-websocket").uncheck();
    await says("event stream");
    await ann.screenshot({ path: join(output, "session-event-stream.png") });
    await ann.locator("#use-sse").uncheck();
    await says("long-poll");
    await ann.screenshot({ path: join(output, "session-longpoll.png") });
    await ann.locator("#use-sse").check();
    await ann.locator("#use-websocket").check();
    await says("WebSocket");
    await ann.locator("#cut").click();
    await says("WebSocket");
    await ann.screenshot({ path: join(output, "session-websocket.png") });
    for (const page of [ann, ben]) {
      await page.locator(".text", { hasText: texts.at(-1) }).waitFor();
      assert.deepEqual(await page.locator(".text").allTextContents(), texts);
    }
    await isTheSame(ann, before);
    assert.ok((await sessionOf(ann)).resumes >= 4);
  });

  it("lets its page into the back/forward cache, and goes on when that comes out of it", async () => {
    // phoenix.js itself disconnects when its page goes, and joins again when it comes back: so a session without it.
    const opened = await ann.evaluate(async () => {
      const { Lapwing } = await import("lapwing-transport");
      addEventListener("pageshow", ({ persisted }) => (window.wasKept = persisted));
      window.session = new Lapwing("/socket/websocket?vsn=2.0.0");
      await new Promise((resolve) => (window.session.onopen = resolve));
      return window.session.status().openedAt;
    });
    await ann.goto(`http://${server.address}/icon.svg`);
    await say(ben, "said while the page was put aside");
    await ann.evaluate(() => history.back());
    await ann.locator(".text", { hasText: "said while the page was put aside" }).waitFor();
    assert.equal(await ann.evaluate(() => window.wasKept), true, "the page was loaded anew");
    await ann.waitForFunction(() => window.session.status().state === "open");
    const { openedAt, resumes } = await ann.evaluate(() => window.session.status());
    assert.deepEqual({ openedAt, resumes }, { openedAt: opened, resumes: 1 });
    await ann.evaluate(() => window.session.close());
  });

  it("goes on after the browser was off the network", async () => {
    const before = await sessionOf(ann);
    await ann.context().setOffline(true);
    await say(ben, "said while Ann was offline");
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    await ann.context().setOffline(false);
    await ann.locator(".text", { hasText: "said while Ann was offline" }).waitFor();
    await say(ann, "and back again");
    await ben.locator(".text", { hasText: "and back again" }).waitFor();
    await isTheSame(ann, before);
  });

  async function open(name) {
    const context = await browser.newContext({ viewport: { width: 1100, height: 700 } });
    context.setDefaultTimeout(15_000);
    const me = JSON.stringify({ user: `user-${name}`, name, color: "#0f766e" });
    await context.addInitScript((me) => localStorage.setItem("lapwing:me", me), me);
    const page = await context.newPage();
    page.on("pageerror", (error) => console.error("page error:", error));
    await page.goto(`http://${server.address}/?one#session`);
    await carriedBy(page, "WebSocket");
    return page;
  }

  /** The same session as before, and nobody saw its client leave. */
  async function isTheSame(page, before) {
    const now = await sessionOf(page);
    assert.equal(now.openedAt, before.openedAt, "it is another session");
    assert.equal(now.seen, before.seen, "Ann was seen to leave or to come in");
  }

  async function sessionOf(page) {
    const status = await page.evaluate(async () => {
      const { Lapwing } = await import("lapwing-transport");
      return [...Lapwing.instances].at(-1).status();
    });
    return { ...status, seen: await ben.locator(".system", { hasText: /^Ann (left|came in)/ }).count() };
  }

  async function carriedBy(page, transport) {
    await page.locator("#status", { hasText: `connected · ${transport}` }).waitFor();
  }

  async function say(page, text) {
    await page.locator("#text").fill(text);
    await page.locator("#text").press("Enter");
    await until("the field is empty", async () => (await page.locator("#text").inputValue()) === "");
  }
});
