// Event streams and polls as gzip, for clients that know nothing of it: what fetches in Node is what accepts it.

import assert from "node:assert/strict";
import http from "node:http";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import { createGunzip, constants } from "node:zlib";
import { LongPoll, Socket } from "phoenix";
import { Lapwing } from "../../js/src/index.js";
import { MOUNT, payloads } from "./support/deflated.js";
import { exchangeBy } from "./support/gzipped.js";
import { startTestbed } from "./support/testbed.js";
import { until, within } from "./support/wait.js";

const ways = {
  "an event stream": Lapwing.with({ transports: ["sse"], storage: null }),
  polls: Lapwing.with({ transports: ["longpoll"], storage: null }),
  "phoenix.js that polls": LongPoll,
};

describe("gzip", { timeout: 300_000 }, () => {
  let testbed;

  before(async () => {
    testbed = await startTestbed();
  });

  after(() => testbed?.stop());

  const written = async () => (await (await fetch(`http://${testbed.address}/stats`)).json()).bytes_out;

  for (const [name, transport] of Object.entries(ways)) {
    it(`carries everything over ${name}`, async () => {
      const wrong = await within("all of it", exchangeBy(Socket, transport, `ws://${testbed.address}${MOUNT}`, `room:gzip ${name}`, payloads()), 60_000);
      assert.deepEqual(wrong, []);
    });

    it(`saves bytes over ${name}`, async () => {
      const rows = payloads().filter(({ rows }) => rows?.length >= 40);
      const bytes = {};
      for (const mount of ["/socket", MOUNT]) {
        const before = await written();
        await within("all of it", exchangeBy(Socket, transport, `ws://${testbed.address}${mount}`, `room:bytes ${name}`, rows), 60_000);
        bytes[mount] = (await written()) - before;
      }
      assert.ok(bytes[MOUNT] < 0.4 * bytes["/socket"], JSON.stringify(bytes));
      assert.ok(bytes[MOUNT] > 0.01 * bytes["/socket"], JSON.stringify(bytes));
    });
  }

  // What Node's own inflater makes of a stream, each event as it comes.
  it("shows each event at once to a client that was not made for it", async () => {
    const path = `${MOUNT}/sse?lapwing=1&vsn=2.0.0`;
    const options = { host: "127.0.0.1", port: testbed.port, path, method: "POST", headers: { "accept-encoding": "gzip" }, agent: false };
    const request = http.request(options);
    request.end("!open 30000");
    const [response] = await within("an answer", once(request, "response"));
    assert.equal(response.headers["content-encoding"], "gzip");
    const gunzip = response.pipe(createGunzip({ flush: constants.Z_SYNC_FLUSH }));
    gunzip.setEncoding("utf8");
    let text = "";
    gunzip.on("data", (more) => (text += more));
    const saw = (what, from = 0) => until(what, () => text.includes(what, from));
    await saw("!opened ");
    await saw("\n\n", text.indexOf("!opened "));
    const token = text.match(/!opened (\S+)/)[1];
    const topic = `room:at-once-${process.pid}`;
    const say = (number, event, payload) => {
      const line = JSON.stringify(["1", String(number), topic, event, payload]);
      return fetch(`http://${testbed.address}${path}`, { method: "POST", body: `!send ${token}\n!from ${number}\n${line}` });
    };
    await say(1, "phx_join", {});
    await saw("phx_reply");
    for (const [index, payload] of payloads().entries()) {
      const reply = `"${index + 2}","${topic}","phx_reply"`;
      await say(index + 2, "ping", payload);
      await saw(reply);
      await saw("\n\n", text.indexOf(reply));
    }
    request.destroy();
  });
});
