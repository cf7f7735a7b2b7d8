// The demo's rooms remember: a page that was closed comes back to what it missed, and says from where on that is.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { launchChromium } from "../engines/chromium.js";
import { root, startDemo } from "../support/testbed.js";

const output = join(root, "tests/output");

describe("the demo after a while", { timeout: 120_000 }, () => {
  let server, browser, annContext, ann, ben;

  before(async () => {
    mkdirSync(output, { recursive: true });
    server = await startDemo();
    browser = await launchChromium();
    annContext = await contextOf("Ann", "#0f766e");
    ann = await open(annContext);
    ben = await open(await contextOf("Ben", "#be185d"));
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  it("shows what was said while its page was closed, behind a line", async () => {
    await say(ann, "I have to go");
    await hears(ben, "I have to go");
    await say(ben, "See you");
    await hears(ann, "See you");
    await ann.close();
    await ben.locator(".system", { hasText: "Ann left" }).waitFor();
    await say(ben, "The cat has come back");
    await say(ben, "and it has brought a bird");
    ann = await open(annContext);
    await hears(ann, "and it has brought a bird");
    assert.deepEqual(await shown(ann), [
      "I have to go",
      "See you",
      "(while you were away)",
      "The cat has come back",
      "and it has brought a bird",
    ]);
    await say(ben, "A lapwing, of course");
    await hears(ann, "A lapwing, of course");
    assert.equal(await ann.locator(".system", { hasText: "while you were away" }).count(), 1);
    await ann.screenshot({ path: join(output, "demo-away.png") });
  });

  it("says nothing of the kind where nothing was missed", async () => {
    await ann.reload();
    await hears(ann, "A lapwing, of course");
    await say(ben, "Here it is");
    await hears(ann, "Here it is");
    assert.equal(await ann.locator(".system", { hasText: "while you were away" }).count(), 0);
  });

  async function contextOf(name, color) {
    const context = await browser.newContext({ viewport: { width: 1100, height: 700 } });
    context.setDefaultTimeout(30_000);
    const me = JSON.stringify({ user: `user-${name}`, name, color });
    await context.addInitScript((me) => localStorage.setItem("lapwing:me", me), me);
    return context;
  }

  async function open(context) {
    const page = await context.newPage();
    page.on("pageerror", (error) => console.error("page error:", error));
    await page.goto(`http://${server.address}/?one#away`);
    await page.locator("#status", { hasText: "connected" }).waitFor();
    await page.locator("#people li").first().waitFor();
    return page;
  }
});

async function say(page, text) {
  await page.locator("#text").fill(text);
  await page.locator("#text").press("Enter");
}

const hears = (page, text) => page.locator(".text", { hasText: text }).waitFor();

/** Messages in their order, and lines of the system that say what was missed. */
async function shown(page) {
  const all = page.locator("#messages .text, #messages .system");
  const texts = await all.evaluateAll((found) => found.map(({ className, textContent }) => (className === "system" ? `(${textContent})` : textContent)));
  return texts.filter((text) => !/came in|left/.test(text));
}
