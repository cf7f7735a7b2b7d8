// permessage-deflate with a client that somebody else wrote, `ws`: what it offers is agreed on, and everything arrives as it was said.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import WebSocket from "ws";
import { Socket } from "phoenix";
import { Lapwing } from "../../js/src/index.js";
import { MOUNT, exchange, payloads } from "./support/deflated.js";
import { startTestbed } from "./support/testbed.js";
import { within } from "./support/wait.js";
import { joined, ok } from "./support/world.js";

const AGREED = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

/** `ws` with options, as a class that takes a URL alone. */
const withOptions = (perMessageDeflate) =>
  class extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { perMessageDeflate });
    }
  };

describe("permessage-deflate", { timeout: 300_000 }, () => {
  let testbed, url;

  before(async () => {
    testbed = await startTestbed();
    url = `ws://${testbed.address}${MOUNT}/websocket?vsn=2.0.0`;
  });

  after(() => testbed?.stop());

  for (const [name, options] of Object.entries({
    "as it is": true,
    "that compresses everything": { threshold: 0 },
    "that compresses nothing": { threshold: Number.MAX_SAFE_INTEGER },
    "with small windows": { threshold: 0, clientMaxWindowBits: 9, serverMaxWindowBits: 9 },
    "that wants no contexts": { threshold: 0, clientNoContextTakeover: true, serverNoContextTakeover: true },
    "with the best level": { threshold: 0, zlibDeflateOptions: { level: 9, memLevel: 9 } },
    "that stores": { threshold: 0, zlibDeflateOptions: { level: 0 } },
  })) {
    it(`carries everything to a client ${name}`, async () => {
      const { extensions, wrong } = await within("all of it", exchange(withOptions(options), url, `room:ws ${name}`, payloads()));
      assert.deepEqual(wrong, []);
      assert.equal(extensions, "permessage-deflate");
    });
  }

  it("says what was agreed on, and no more than was asked", async () => {
    for (const [options, agreed] of [
      [true, AGREED],
      [{ serverMaxWindowBits: 12 }, `${AGREED}; server_max_window_bits=12`],
      [false, undefined],
    ]) {
      const socket = new (withOptions(options))(url);
      socket.once("open", () => socket.close());
      const closed = new Promise((resolve) => socket.once("close", resolve));
      const [response] = await within("the answer", new Promise((resolve) => socket.once("upgrade", (...all) => resolve(all))));
      assert.equal(response.headers["sec-websocket-extensions"], agreed);
      await within("the end", closed);
    }
  });

  it("saves bytes", async () => {
    const written = async () => (await (await fetch(`http://${testbed.address}/stats`)).json()).bytes_out;
    const rows = payloads().filter(({ rows }) => rows?.length >= 40);
    const length = rows.reduce((sum, payload) => sum + 2 * JSON.stringify(payload).length, 0);
    const before = await written();
    await exchange(withOptions(true), url, "room:ws-bytes", rows);
    const bytes = (await written()) - before;
    assert.ok(bytes < 0.4 * length, `${bytes} of ${length}`);
    assert.ok(bytes > 0.01 * length, `${bytes} of ${length}`);
  });

  for (const [name, transport] of Object.entries({
    "phoenix.js": withOptions({ threshold: 0 }),
    "the transport of this repository": Lapwing.with({ transports: ["websocket"], WebSocket: withOptions({ threshold: 0 }), storage: null }),
  })) {
    it(`carries ${name}`, async () => {
      const socket = new Socket(`ws://${testbed.address}${MOUNT}`, { transport });
      socket.connect();
      const channel = await joined(socket, `room:${name}`);
      const heard = [];
      channel.on("shout", (payload) => heard.push(payload));
      for (const payload of payloads()) {
        assert.deepEqual(await ok(channel, "ping", payload), payload);
        channel.push("shout", payload);
      }
      await ok(channel, "ping", {});
      assert.deepEqual(heard, payloads());
      await within("the end", new Promise((resolve) => socket.disconnect(resolve)));
    });
  }
});
