// The inspector over ten thousand sessions: how soon it is there, and how much it asks for. Prints what it measures.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { launchChromium } from "../engines/chromium.js";
import { root, startTestbed } from "../support/testbed.js";
import { until, within } from "../support/wait.js";

const KEY = "a key that is long enough";
const CROWD = 10_000;
/** Connections that are opened at a time. */
const AT_ONCE = 100;
/** No answer is larger, whatever is asked. */
const ANSWER_BYTES_MAX = 1_000_000;
/** What an idle machine needs a tenth of at most; one that is busy with other tests passes, too. */
const PAINT_MS_MAX = 10_000;

describe("the inspector over ten thousand sessions", { timeout: 300_000 }, () => {
  let testbed, browser, page;
  const sockets = [];
  const answers = [];

  before(async () => {
    mkdirSync(join(root, "tests/output"), { recursive: true });
    testbed = await startTestbed({ env: { INSPECT_KEY: KEY } });
    for (let n = 0; n < CROWD; n += AT_ONCE) {
      sockets.push(...(await Promise.all(Array.from({ length: AT_ONCE }, (_, one) => come(testbed, n + one)))));
    }
    await until("all have joined", async () => JSON.parse(await testbed.fetch("/stats")).joins === CROWD);
    browser = await launchChromium();
    const context = await browser.newContext({ httpCredentials: { username: "anybody", password: KEY }, viewport: { width: 1100, height: 800 } });
    page = await context.newPage();
    page.on("response", async (response) => {
      const body = await response.body().catch(() => undefined);
      if (body) answers.push({ url: response.url(), bytes: body.length });
    });
  });

  after(async () => {
    await browser?.close();
    for (const socket of sockets) socket.destroy();
    await testbed?.stop();
  });

  for (const [n, [name, hash, shown]] of [
    ["the overview", "", "figure >> text=10,000"],
    ["the sessions", "sessions", "text=10,000 found"],
    ["the sessions by what waits, on the last page", "sessions?sort=waiting&page=19", "text=page 20 of"],
    ["those that are searched", "sessions?search=user:9999", "text=1 found"],
    ["the topics", "topics", "text=100 found"],
    ["a topic", "topic/room%3A7", "text=Joins here"],
  ].entries()) {
    it(`shows ${name} soon`, async () => {
      await page.goto("about:blank");
      const start = performance.now();
      await page.goto(`http://${testbed.address}/inspect#/${hash}`);
      await page.locator(shown).first().waitFor();
      const shownMs = performance.now() - start;
      const paintMs = await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime");
      console.log(`${name}: first paint after ${Math.round(paintMs)} ms, all of it after ${Math.round(shownMs)} ms`);
      assert.ok(paintMs < PAINT_MS_MAX, `first paint after ${paintMs} ms`);
      assert.ok((await page.locator("tbody tr").count()) <= 100);
      await page.screenshot({ path: join(root, `tests/output/inspector-crowd-${n + 1}.png`) });
    });
  }

  it("asks for little at a time", () => {
    const largest = answers.reduce((one, other) => (one.bytes > other.bytes ? one : other));
    console.log(`${answers.length} answers, the largest of ${largest.bytes} bytes: ${new URL(largest.url).pathname}`);
    assert.ok(largest.bytes < ANSWER_BYTES_MAX, JSON.stringify(largest));
    assert.ok(answers.length >= 12, "the page and what it asks for, six times");
  });
});

/** Connects, joins a topic, and says nothing more. */
async function come({ port }, n) {
  const socket = net.connect(port, "127.0.0.1");
  socket.setNoDelay(true);
  await within("a connection", new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject)));
  const head = ["Host: localhost", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="];
  const message = Buffer.from(JSON.stringify(["1", "1", `room:${n % 100}`, "phx_join", {}]));
  socket.write(`GET /socket/websocket?vsn=2.0.0&user=${n} HTTP/1.1\r\n${head.join("\r\n")}\r\n\r\n`);
  // A mask of zeros changes nothing.
  socket.write(Buffer.concat([Buffer.from([0x81, 0x80 | message.length, 0, 0, 0, 0]), message]));
  let heard = "";
  const joined = new Promise((resolve, reject) => {
    socket.on("data", (data) => {
      heard += data.toString("latin1");
      if (heard.includes("phx_reply")) resolve();
    });
    socket.once("close", () => reject(new Error(`closed: ${heard.slice(0, 200)}`)));
  });
  await within(`the join of ${n}`, joined);
  socket.removeAllListeners().on("error", () => {}).resume();
  return socket;
}
