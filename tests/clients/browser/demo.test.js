// The demo in a real browser: two people, one of them with two tabs.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { launchChromium } from "../engines/chromium.js";
import { root, startDemo } from "../support/testbed.js";
import { until } from "../support/wait.js";

const output = join(root, "tests/output");

describe("the demo", { timeout: 120_000 }, () => {
  let server, browser, annContext, benContext, ann, annsSecond, ben;

  before(async () => {
    mkdirSync(output, { recursive: true });
    server = await startDemo();
    browser = await launchChromium();
    annContext = await contextOf("Ann", "#0f766e");
    benContext = await contextOf("Ben", "#be185d");
    ann = await open(annContext);
    ben = await open(benContext);
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  it("connects by WebSocket and lists who is there", async () => {
    for (const page of [ann, ben]) {
      await page.locator("#status", { hasText: "connected · WebSocket" }).waitFor();
      await seesPeople(page, ["Ann", "Ben"]);
    }
    await ann.locator(".system", { hasText: "Ben came in" }).waitFor();
  });

  it("shows everybody all messages in one order", async () => {
    const texts = ["Hello, Ben!", "Look who is here.", "Hi Ann <b>there</b>", "A lapwing, no less.", "Lovely."];
    await say(ann, texts[0]);
    await say(ann, texts[1]);
    await ben.locator(".text", { hasText: texts[1] }).waitFor();
    await say(ben, texts[2]);
    await say(ben, texts[3]);
    await ann.locator(".text", { hasText: texts[3] }).waitFor();
    await say(ann, texts[4]);
    await ben.locator(".text", { hasText: texts[4] }).waitFor();
    for (const page of [ann, ben]) assert.deepEqual(await page.locator(".text").allTextContents(), texts);
    assert.equal(await ann.locator(".own .text").count(), 3);
    assert.equal(await ben.locator(".group").count(), 3, "messages are grouped by author");
  });

  it("counts a second tab as the same person and gives it the history", async () => {
    annsSecond = await open(annContext);
    for (const page of [ann, ben, annsSecond]) {
      await personOn(page, "Ann").filter({ hasText: "2 tabs" }).waitFor();
      await seesPeople(page, ["Ann", "Ben"]);
    }
    assert.equal(await annsSecond.locator(".text").count(), 5);
    assert.equal(await ben.locator(".system", { hasText: "Ann came in" }).count(), 0);
  });

  it("says who is typing until it is said", async () => {
    await ben.locator("#text").pressSequentially("wait");
    const typing = ann.locator("#typing", { hasText: "Ben is typing" });
    await typing.waitFor();
    await ben.locator("#text").press("Enter");
    await typing.waitFor({ state: "detached" });
    await ann.locator(".text", { hasText: "wait" }).waitFor();
  });

  it("shows where another points", async () => {
    const stage = await ben.locator("#stage").boundingBox();
    await ben.mouse.move(stage.x + 20, stage.y + 20);
    await ben.mouse.move(stage.x + stage.width * 0.62, stage.y + stage.height * 0.55, { steps: 5 });
    const cursor = ann.locator(".cursor:not(.idle)", { hasText: "Ben" });
    await cursor.waitFor();
    const seen = await ann.locator("#stage").boundingBox();
    await until("Ben's cursor", async () => {
      const { x, y } = await cursor.boundingBox();
      const near = (place, start, length, part) => Math.abs((place - start) / length - part) < 0.02;
      return near(x, seen.x, seen.width, 0.62) && near(y, seen.y, seen.height, 0.55);
    });
    await ben.locator("#text").pressSequentially("so");
    await ann.locator("#typing", { hasText: "Ben is typing" }).waitFor();
    await ann.screenshot({ path: join(output, "demo-chat.png") });
    await ann.emulateMedia({ colorScheme: "dark" });
    await ann.screenshot({ path: join(output, "demo-dark.png") });
    await ann.emulateMedia({ colorScheme: "light" });
    await ben.locator("#text").fill("");
  });

  it("looks right on a phone", async () => {
    await ben.setViewportSize({ width: 390, height: 844 });
    await ben.screenshot({ path: join(output, "demo-phone.png") });
    assert.equal(await ben.evaluate("document.documentElement.scrollWidth"), 390, "nothing sticks out");
    await ben.setViewportSize({ width: 1100, height: 700 });
  });

  it("shows a new name to the others, from all tabs at once", async () => {
    await ann.locator("#my-name").fill("Anna");
    await ann.locator("#my-name").press("Enter");
    await personOn(ben, "Anna").filter({ hasText: "2 tabs" }).waitFor();
    await ben.locator(".system", { hasText: "Ann is now Anna" }).waitFor();
    await annsSecond.waitForFunction(() => document.getElementById("my-name").value === "Anna");
    await seesPeople(ben, ["Anna", "Ben"]);
    assert.equal(await ben.locator(".system", { hasText: "is now" }).count(), 1);
  });

  it("shows as away one whose tabs are all hidden", async () => {
    await hide(ann, true);
    // One tab is still looked at.
    assert.equal(await personOn(ben, "Anna").filter({ hasText: "away" }).count(), 0);
    await hide(annsSecond, true);
    await personOn(ben, "Anna").filter({ hasText: "away" }).waitFor();
    await hide(ann, false);
    await personOn(ben, "Anna").filter({ hasText: "away" }).waitFor({ state: "detached" });
  });

  it("keeps rooms apart", async () => {
    await annsSecond.locator("#rooms a", { hasText: "random" }).click();
    await annsSecond.locator(".empty").waitFor();
    await seesPeople(annsSecond, ["Anna"]);
    await personOn(ben, "Anna").filter({ hasText: "2 tabs" }).waitFor({ state: "detached" });
    await say(annsSecond, "Nobody here?");
    await annsSecond.locator(".text", { hasText: "Nobody here?" }).waitFor();
    assert.equal(await ben.locator(".text", { hasText: "Nobody here?" }).count(), 0);
  });

  it("takes one who closed the page off the list", async () => {
    await ann.close();
    await ben.locator(".system", { hasText: "Anna left" }).waitFor();
    await seesPeople(ben, ["Ben"]);
  });

  for (const [transport, name, missing] of [
    ["an event stream", "event stream", ["WebSocket"]],
    ["long-poll", "long-poll", ["WebSocket", "ReadableStream", "EventSource"]],
  ]) {
    it(`goes on by ${transport} in a browser without ${missing.join(", ")}`, async () => {
      const context = await contextOf(name, "#7c3aed");
      await context.addInitScript((missing) => missing.forEach((name) => delete window[name]), missing);
      const cleo = await open(context);
      await cleo.locator("#status", { hasText: name }).waitFor();
      await say(cleo, `Round by ${transport}`);
      await ben.locator(".text", { hasText: `Round by ${transport}` }).waitFor();
      await say(ben, `You are here by ${transport} all the same`);
      await cleo.locator(".text", { hasText: `You are here by ${transport} all the same` }).waitFor();
    });
  }

  /** A browser of its own for a person whose name is known. */
  async function contextOf(name, color) {
    const context = await browser.newContext({ viewport: { width: 1100, height: 700 } });
    context.setDefaultTimeout(15_000);
    const me = JSON.stringify({ user: `user-${name}`, name, color });
    await context.addInitScript((me) => {
      if (!localStorage.getItem("lapwing:me")) localStorage.setItem("lapwing:me", me);
    }, me);
    return context;
  }

  async function open(context) {
    const page = await context.newPage();
    page.on("pageerror", (error) => console.error("page error:", error));
    await page.goto(`http://${server.address}/?one#lobby`);
    await page.locator("#people li").first().waitFor();
    return page;
  }
});

async function say(page, text) {
  await page.locator("#text").fill(text);
  await page.locator("#text").press("Enter");
}

const personOn = (page, name) =>
  page.locator("#people li").filter({ has: page.locator(".name", { hasText: new RegExp(`^${name}$`) }) });

/** Waits until the list has these names and no others. */
async function seesPeople(page, names) {
  await until(`the list ${names}`, async () => {
    const shown = await page.locator("#people .name").allTextContents();
    return shown.toSorted().join() === names.join();
  });
}

/** As if the person looked at another tab: headless pages are always visible. */
function hide(page, hidden) {
  return page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
}
