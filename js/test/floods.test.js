// A page that says more in one turn than may be kept waits for the server, as it would with phoenix.js's own transport.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import WebSocket from "ws";
import { Lapwing } from "../src/index.js";
import { startTestbed } from "../../tests/clients/support/testbed.js";
import { until, within } from "../../tests/clients/support/wait.js";

let testbed;
before(async () => (testbed = await startTestbed()));
after(() => testbed.stop());

/** More frames than may be kept, and more bytes. */
const FLOODS = [
  { name: "10,000 small messages", count: 10_000, payload: {} },
  { name: "30 messages of 900 KB", count: 30, payload: { text: "x".repeat(900_000) } },
];

for (const { name, count, payload } of FLOODS) {
  describe(name, { concurrency: true }, () => {
    for (const transport of ["websocket", "sse", "longpoll"]) {
      it(`are all taken, once and in order, over ${transport}`, { timeout: 180_000 }, async () => {
        const options = { WebSocket, storage: null, transports: [transport] };
        const session = new (Lapwing.with(options))(`ws://127.0.0.1:${testbed.port}/socket?vsn=2.0.0`);
        const refs = [];
        const ends = [];
        session.onmessage = ({ data }) => refs.push(JSON.parse(data)[1]);
        session.onclose = ({ code, reason }) => ends.push(`${code} ${reason}`);
        await within("the session", new Promise((resolve) => (session.onopen = resolve)));
        const say = (ref, event, body) => session.send(JSON.stringify(["1", ref, "room:flood", event, body]));
        say("join", "phx_join", {});
        await until("the join", () => refs.length);
        for (let n = 0; n < count; n += 1) say(`${n}`, "ping", payload);
        await until("all answers", () => refs.length > count || ends.length, 150_000);
        assert.deepEqual(ends, []);
        assert.deepEqual(refs, ["join", ...Array.from({ length: count }, (_, n) => `${n}`)]);
        // The last answer may come before the receipt of the request that asked for it.
        await until("all is received", () => session.bufferedAmount === 0);
        session.close();
      });
    }
  });
}
