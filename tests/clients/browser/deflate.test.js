// permessage-deflate in Chromium, which offers it by itself.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { launchChromium } from "../engines/chromium.js";
import { MOUNT, exchange, payloads } from "../support/deflated.js";
import { openPage } from "../support/page.js";
import { startTestbed } from "../support/testbed.js";

const AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

describe("permessage-deflate in Chromium", { timeout: 120_000 }, () => {
  let testbed, browser, page;

  before(async () => {
    testbed = await startTestbed();
    browser = await launchChromium();
    page = await openPage(browser, `http://${testbed.address}/health`);
    await page.addScriptTag({ content: `window.exchange = ${exchange}` });
  });

  after(async () => {
    await browser?.close();
    await testbed?.stop();
  });

  it("carries everything", async () => {
    const url = `ws://${testbed.address}${MOUNT}/websocket?vsn=2.0.0`;
    const { extensions, wrong } = await page.evaluate(
      ([url, payloads]) => window.exchange(WebSocket, url, "room:chromium", payloads),
      [url, payloads()],
    );
    assert.deepEqual(wrong, []);
    assert.equal(extensions, AGREED);
  });

  it("carries a session of the transport of this repository", async () => {
    const said = payloads();
    const heard = await page.evaluate(
      async ([mount, said]) => {
        const { Lapwing } = await import("/client/js/src/index.js");
        const session = new (Lapwing.with({ transports: ["websocket"], storage: null }))(`${mount}?vsn=2.0.0`);
        const heard = [];
        await new Promise((resolve) => {
          session.onmessage = ({ data }) => {
            const [, ref, , , payload] = JSON.parse(data);
            if (ref !== "1") heard.push(payload.response);
            if (heard.length === said.length) resolve();
          };
          session.onopen = () => {
            session.send(JSON.stringify(["1", "1", "room:page", "phx_join", {}]));
            said.forEach((payload, index) => session.send(JSON.stringify(["1", `${index + 2}`, "room:page", "ping", payload])));
          };
        });
        session.close();
        return heard;
      },
      [`ws://${testbed.address}${MOUNT}`, said],
    );
    assert.deepEqual(heard, said);
  });
});
