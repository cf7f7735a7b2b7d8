// Logins that end, are renewed, are refused and are over for good: with our transport and with those of phoenix.js, over each of them, over HTTP/1.1
// and HTTP/2. The same in Chromium is in browser/logins.test.js.

import assert from "node:assert/strict";
import http2 from "node:http2";
import { after, before, describe, it } from "node:test";
import WebSocket from "ws";
import { Lapwing } from "../../js/src/index.js";
import { seen, tableOf, wanted } from "./logins/rows.js";
import { fetchOver } from "./pressure/stream.js";
import { loadClient, transportsOf } from "./support/clients.js";
import { startTestbed } from "./support/testbed.js";

const VERSIONS = ["1.7.21", "1.8.16"];
/** Our transport, and what it is given. Node's WebSockets and its XMLHttpRequest speak HTTP/1.1 alone. */
const OURS = [
  { transport: "websocket" },
  { transport: "sse" },
  { transport: "longpoll" },
  { transport: "longpoll", singleRequest: true },
  { transport: "sse", isHttp2: true },
  { transport: "longpoll", isHttp2: true },
];

let testbed, session, fetch1;
const rows = [];
let users = 0;

before(async () => {
  testbed = await startTestbed();
  session = http2.connect(`http://127.0.0.1:${testbed.port}`);
  // What goes to this name goes by one connection of HTTP/2, for phoenix.js, too.
  const fetch2 = fetchOver(session);
  fetch1 = globalThis.fetch;
  globalThis.fetch = (url, options) => (new URL(url).hostname === "localhost" ? fetch2 : fetch1)(url, options);
});

after(async () => {
  globalThis.fetch = fetch1;
  session?.destroy();
  await testbed?.stop();
  console.log(tableOf(rows));
});

/** A test of one row. */
function row(name, { version, client, isOurs, transport, isHttp2, make }) {
  it(name, { timeout: 300_000 }, async () => {
    const url = `ws://${isHttp2 ? "localhost" : "127.0.0.1"}:${testbed.port}/socket_login`;
    const events = wanted({ version, isOurs, transport });
    const user = `user${(users += 1)}`;
    const ban = (user) => testbed.fetch(`/ban/${user}`);
    const got = await seen({ Socket: client.Socket, url, transport: make, isOurs, user, ban, wanted: events });
    rows.push({ name, events: got });
    assert.deepEqual(got, events);
  });
}

const clients = await Promise.all(VERSIONS.map(async (version) => ({ version, client: await loadClient(version) })));

for (const { version, client } of clients) {
  describe(`logins by our transport, with phoenix.js ${version}`, { concurrency: true }, () => {
    // A page remembers a few refusals, and this one has those of all rows.
    before(() => Lapwing.forgetRefusals());
    for (const { transport, isHttp2 = false, singleRequest = false } of OURS) {
      const name = `lapwing-transport, ${transport}${singleRequest ? " with one request at a time" : ""}${isHttp2 ? ", HTTP/2" : ""}`;
      const make = (options) => Lapwing.with({ WebSocket, storage: null, transports: [transport], singleRequest, ...options });
      row(`${name}, with phoenix.js ${version}`, { version, client, isOurs: true, transport, isHttp2, make });
    }
  });
}

// phoenix.js asks the globals by which way its requests go.
for (const way of ["WebSocket", "LongPoll over XMLHttpRequest", "LongPoll over fetch"]) {
  describe(`logins by phoenix.js, ${way}`, { concurrency: true }, () => {
    for (const { version, client } of clients) {
      for (const { transport, use } of transportsOf(version, client).filter(({ name }) => name === way)) {
        before(use);
        for (const isHttp2 of way.includes("fetch") ? [false, true] : [false]) {
          const kind = way === "WebSocket" ? "websocket" : "longpoll";
          const stock = { version, client, isOurs: false, transport: kind, isHttp2, make: () => transport };
          row(`phoenix.js ${version}, ${way}${isHttp2 ? ", HTTP/2" : ""}`, stock);
        }
      }
    }
  });
}
