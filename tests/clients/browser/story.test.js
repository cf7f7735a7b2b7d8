// The demo's story in a real browser: both sides of a cut in one page.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { launchChromium } from "../engines/chromium.js";
import { root, startDemo } from "../support/testbed.js";
import { until } from "../support/wait.js";

const output = join(root, "tests/output");

describe("the demo's story", { timeout: 180_000 }, () => {
  let server, browser, page;

  before(async () => {
    mkdirSync(output, { recursive: true });
    server = await startDemo();
    browser = await launchChromium();
    const context = await browser.newContext({ viewport: { width: 1280, height: 760 } });
    context.setDefaultTimeout(20_000);
    const me = JSON.stringify({ user: "user-Ann", name: "Ann", color: "#0f766e" });
    await context.addInitScript((me) => localStorage.setItem("lapwing:me", me), me);
    page = await context.newPage();
    page.on("pageerror", (error) => console.error("page error:", error));
    await page.goto(`http://${server.address}/#story`);
    await page.locator("#status", { hasText: "connected · WebSocket" }).waitFor();
    await page.locator("#other-sees", { hasText: "sees Ann here" }).waitFor();
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  it("has two people in one page who talk to each other", async () => {
    await say("Hello over there");
    await sees("#other-messages", "Hello over there");
    await answer("Hello, Ann");
    await sees("#messages", "Hello, Ann");
    assert.equal(await page.locator('.lane[data-state="current"] input').getAttribute("id"), "use-websocket");
  });

  it("shows frames that run over the lane that carries the session", async () => {
    await page.locator('.lane[data-state="current"] .frame').first().waitFor();
    assert.equal(await page.locator('.lane[data-state="reserve"] .frame').count(), 0);
    await page.screenshot({ path: join(output, "demo-story.png") });
  });

  it("shows a cut as a gap, and what is said meanwhile as waiting; then all of it is there once and in order", async () => {
    const before = await delivered();
    // The other side may have seen Ann come, if it was there before her.
    const comings = await page.locator("#other-messages .system").count();
    await page.locator("#unplug").click();
    await page.locator('.lane[data-state="gap"]', { hasText: "cut off" }).waitFor();
    await say("My cable is out");
    await page.locator(".waiting .text", { hasText: "My cable is out" }).waitFor();
    await answer("Still there?");
    await page.screenshot({ path: join(output, "demo-cut.png") });
    assert.equal(await page.locator("#other-messages .text", { hasText: "My cable is out" }).count(), 0);
    await page.locator("#unplug").click();
    await page.locator("#status", { hasText: "connected" }).waitFor();
    await sees("#other-messages", "My cable is out");
    await sees("#messages", "Still there?");
    await page.locator(".waiting").waitFor({ state: "detached" });
    const texts = ["Hello over there", "Hello, Ann", "Still there?", "My cable is out"];
    for (const side of ["#messages", "#other-messages"]) {
      assert.deepEqual(await page.locator(`${side} .text`).allTextContents(), texts, side);
    }
    assert.equal(await page.locator("#other-messages .system").count(), comings, "Ann was seen to leave or to come");
    await until("numbered messages after the cut", async () => (await delivered()) > before + 20);
    await assertNothingLost();
  });

  it("says why a transport carries the session: no other is better that is switched off", async () => {
    await page.locator("#use-websocket").uncheck();
    await page.locator("#status", { hasText: "event stream" }).waitFor();
    await page.locator("#use-sse").uncheck();
    await page.locator("#status", { hasText: "long-poll" }).waitFor();
    await page.locator("#session summary").click();
    await page.locator("#session-facts", { hasText: "event stream is forbidden, proven after" }).waitFor();
    await page.locator("#session summary").click();
    await page.locator("#use-sse").check();
    await page.locator("#use-websocket").check();
    await page.locator("#status", { hasText: "WebSocket" }).waitFor();
    await assertNothingLost();
  });

  it("fits on a phone, with both sides", async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 390, "nothing sticks out");
    for (const id of ["#lost", "#cut", "#use-longpoll", "#text", "#other-text"]) {
      const { y, height } = await page.locator(id).boundingBox();
      assert.ok(y >= 0 && y + height <= 844, `${id} is not to be seen`);
    }
    await page.screenshot({ path: join(output, "demo-story-phone.png") });
    await page.setViewportSize({ width: 1280, height: 760 });
  });

  it("keeps what is said while the server is away, and sends it to the next one", async () => {
    const { port } = server;
    await server.stop();
    await page.locator("#status", { hasText: /resuming|lost|over/ }).waitFor();
    await say("Said to nobody");
    await page.locator(".waiting .text", { hasText: "Said to nobody" }).waitFor();
    server = await startDemo({ port });
    await page.locator(".waiting").waitFor({ state: "detached" });
    await sees("#messages", "Said to nobody");
    await sees("#other-messages", "Said to nobody");
    assert.equal(await page.locator("#messages .text", { hasText: "Said to nobody" }).count(), 1);
  });

  async function say(text) {
    await page.locator("#text").fill(text);
    await page.locator("#text").press("Enter");
  }

  async function answer(text) {
    await page.locator("#other-text").fill(text);
    await page.locator("#other-text").press("Enter");
  }

  const sees = (side, text) => page.locator(`${side} .text`, { hasText: text }).first().waitFor();

  async function delivered() {
    const text = await page.locator("#delivered").textContent();
    return Number(text.match(/of (\d+)/)?.[1] ?? 0);
  }

  async function assertNothingLost() {
    assert.deepEqual(await page.locator("#lost, #doubled").allTextContents(), ["0", "0"]);
  }
});
