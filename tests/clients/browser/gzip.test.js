// Event streams and polls as gzip in Chromium, which accepts it by itself.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { launchChromium } from "../engines/chromium.js";
import { MOUNT, payloads } from "../support/deflated.js";
import { exchangeBy } from "../support/gzipped.js";
import { openPage } from "../support/page.js";
import { startTestbed } from "../support/testbed.js";

/** Everything once over one of the ways, and what the browser says of the answers that it got. */
async function exchanged([name, mount, payloads]) {
  const { LongPoll, Socket } = await import("/client/node_modules/phoenix/priv/static/phoenix.mjs");
  const { Lapwing } = await import("/client/js/src/index.js");
  const transport = name === "stock" ? LongPoll : Lapwing.with({ transports: [name], storage: null });
  performance.clearResourceTimings();
  performance.setResourceTimingBufferSize(10_000);
  const wrong = await window.exchangeBy(Socket, transport, mount, `room:${name}-${mount.length}`, payloads);
  const entries = performance.getEntriesByType("resource").filter(({ name }) => name.includes("longpoll"));
  const sum = (what) => entries.reduce((sum, entry) => sum + entry[what], 0);
  return { wrong, encoded: sum("encodedBodySize"), decoded: sum("decodedBodySize") };
}

describe("gzip in Chromium", { timeout: 180_000 }, () => {
  let testbed, browser, page;

  before(async () => {
    testbed = await startTestbed();
    browser = await launchChromium();
    page = await openPage(browser, `http://${testbed.address}/health`);
    await page.addScriptTag({ content: `window.exchangeBy = ${exchangeBy}` });
  });

  after(async () => {
    await browser?.close();
    await testbed?.stop();
  });

  const written = async () => (await (await fetch(`http://${testbed.address}/stats`)).json()).bytes_out;

  for (const name of ["sse", "longpoll", "stock"]) {
    it(`carries everything over ${name}`, async () => {
      const { wrong } = await page.evaluate(exchanged, [name, `ws://${testbed.address}${MOUNT}`, payloads()]);
      assert.deepEqual(wrong, []);
    });

    it(`saves bytes over ${name}`, async () => {
      const rows = payloads().filter(({ rows }) => rows?.length >= 40);
      const bytes = {};
      for (const mount of ["/socket", MOUNT]) {
        const before = await written();
        const { wrong, encoded, decoded } = await page.evaluate(exchanged, [name, `ws://${testbed.address}${mount}`, rows]);
        assert.deepEqual(wrong, []);
        bytes[mount] = (await written()) - before;
        // An event stream tells of its size when it is over.
        if (name !== "sse") assert.equal(encoded < 0.7 * decoded, mount === MOUNT, `${encoded} of ${decoded}`);
      }
      assert.ok(bytes[MOUNT] < 0.4 * bytes["/socket"], JSON.stringify(bytes));
    });
  }
});
