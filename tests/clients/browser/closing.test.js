// Why a connection was closed arrives in Chromium, though the page is still sending; and so does why a POST was refused.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { launchChromium } from "../engines/chromium.js";
import { BREACHES, closeCodes, startBreaker } from "../support/broken.js";
import { startTestbed } from "../support/testbed.js";

const TIMES = Number(process.env.TIMES ?? 100);
/** Chromium takes seconds to hand over a body of that size. */
const POSTS = Math.ceil(TIMES / 10);
/** Twice what a mount takes. */
const FAR_TOO_MUCH = 20_000_000;

describe("why a connection was closed, in Chromium", { timeout: 600_000 }, () => {
  let testbed, browser, page;
  const breakers = {};

  before(async () => {
    testbed = await startTestbed();
    for (const [code, breach] of Object.entries(BREACHES)) breakers[code] = await startBreaker(testbed.port, breach);
    browser = await launchChromium();
    page = await browser.newPage();
    await page.goto(`http://${testbed.address}/health`);
    await page.addScriptTag({ content: `window.closeCodes = ${closeCodes}` });
  });

  after(async () => {
    await browser?.close();
    for (const breaker of Object.values(breakers)) await breaker.stop();
    await testbed?.stop();
  });

  const codes = (url, length) =>
    page.evaluate(
      ([url, length, times]) => window.closeCodes(WebSocket, url, "x".repeat(length), times),
      [url, length, TIMES],
    );

  for (const code of Object.keys(BREACHES)) {
    it(`is told: ${code}`, async () => {
      const url = `ws://127.0.0.1:${breakers[code].port}/socket/websocket?vsn=2.0.0`;
      assert.deepEqual(await codes(url, 2_000_000), { [code]: TIMES });
    });
  }

  it("is told: 1009", async () => {
    const url = `ws://${testbed.address}/socket/websocket?vsn=2.0.0`;
    assert.deepEqual(await codes(url, FAR_TOO_MUCH), { 1009: TIMES });
  });

  it("is told of a POST: 413", async () => {
    const statuses = await page.evaluate(
      async ([length, times]) => {
        const statuses = {};
        for (let n = 0; n < times; n += 1) {
          const post = fetch("/socket/longpoll?lapwing=1&vsn=2.0.0", { method: "POST", body: "x".repeat(length) });
          const status = await post.then((response) => response.status, (error) => String(error));
          statuses[status] = (statuses[status] ?? 0) + 1;
        }
        return statuses;
      },
      [FAR_TOO_MUCH, POSTS],
    );
    assert.deepEqual(statuses, { 413: POSTS });
  });
});
