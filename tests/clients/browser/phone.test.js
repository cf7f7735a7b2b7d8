// The demo's slow phone in a real browser, beside a page that reads.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { launchChromium } from "../engines/chromium.js";
import { root, startDemo } from "../support/testbed.js";
import { until } from "../support/wait.js";

const output = join(root, "tests/output");

describe("the demo's slow phone", { timeout: 180_000 }, () => {
  let server, browser, page;

  before(async () => {
    mkdirSync(output, { recursive: true });
    server = await startDemo();
    browser = await launchChromium();
    page = await browser.newPage({ viewport: { width: 1280, height: 760 } });
    page.setDefaultTimeout(20_000);
    page.on("pageerror", (error) => console.error("page error:", error));
    await page.goto(`http://${server.address}/#phone`);
    await page.locator("#status", { hasText: "connected" }).waitFor();
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  it("gets the newest states and not those before, and is not closed", async () => {
    await page.locator("#show-phone").click();
    // So many kilobytes take the phone half a minute.
    await until("states", async () => (await seen("fast")).states >= 240, 60_000);
    const [fast, slow] = [await seen("fast"), await seen("slow")];
    assert.ok(slow.states > 10 && slow.states < fast.states * 0.7, `${slow.states} of ${fast.states}`);
    assert.ok(fast.newest - slow.newest < 60, `at ${slow.newest} where the page is at ${fast.newest}`);
    assert.deepEqual([fast.closed, slow.closed], [0, 0]);
    await page.locator("#slow-screen", { hasText: "behind the page" }).waitFor();
    await page.screenshot({ path: join(output, "demo-slow-phone.png") });
  });

  it("has both screens on a phone's screen, and ends with its dialog", async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    assert.equal(await page.evaluate("document.documentElement.scrollWidth"), 390, "nothing sticks out");
    await page.screenshot({ path: join(output, "demo-slow-phone-narrow.png") });
    await page.locator("#phone button").click();
    await page.locator("#phone").waitFor({ state: "hidden" });
    assert.equal(await page.locator(".bird").count(), 0);
  });

  async function seen(name) {
    const data = await page.locator(`#${name}-screen`).evaluate((figure) => ({ ...figure.dataset }));
    return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Number(value)]));
  }
});
