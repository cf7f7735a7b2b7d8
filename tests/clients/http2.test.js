// The transport of this repository in Node.js, its requests on one connection of HTTP/2.

import assert from "node:assert/strict";
import http2 from "node:http2";
import { Readable } from "node:stream";
import { after, before, describe, it } from "node:test";
import { Socket } from "phoenix";
import { Lapwing } from "../../js/src/index.js";
import { startTestbed } from "./support/testbed.js";
import { within } from "./support/wait.js";
import { joined, ok } from "./support/world.js";

describe("the session dialect over HTTP/2", () => {
  let testbed, session;

  before(async () => {
    testbed = await startTestbed();
    session = http2.connect(`http://${testbed.address}`);
  });

  after(async () => {
    session?.destroy();
    await testbed?.stop();
  });

  for (const name of ["sse", "longpoll"]) {
    it(`goes by ${name} over one connection`, { timeout: 30_000 }, async () => {
      const before = await stats();
      const transport = Lapwing.with({ transports: [name], fetch: fetchOver(session), storage: null });
      const socket = new Socket(`ws://${testbed.address}/socket`, { transport });
      socket.connect();
      const channel = await joined(socket, `room:http2-${name}`);
      for (const n of [1, 2, 3]) assert.deepEqual(await ok(channel, "ping", { n }), { n });
      const during = await stats();
      assert.equal(during[name], 1);
      assert.equal(during.accepted, before.accepted, "no other connection");
      await within("the end", new Promise((resolve) => socket.disconnect(resolve)));
    });
  }

  async function stats() {
    return (await fetchOver(session)(`http://${testbed.address}/stats`, { method: "GET" })).json();
  }
});

/** As much of `fetch` as the transport needs, over a connection. */
function fetchOver(session) {
  return (url, { method, body = "", headers = {}, signal }) =>
    new Promise((resolve, reject) => {
      const { pathname, search } = new URL(url);
      const endStream = method === "GET";
      const fields = { ...headers, ":method": method, ":path": pathname + search };
      const stream = session.request(fields, { signal, endStream });
      stream.once("error", reject);
      stream.once("response", (fields) => {
        resolve(new Response(Readable.toWeb(stream), { status: fields[":status"] }));
      });
      if (!endStream) stream.end(body);
    });
}
