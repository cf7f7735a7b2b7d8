// What a page tells the server of the path, for those who look after it: which transports it tried, and what came of that.

import assert from "node:assert/strict";
import net from "node:net";
import { after, before, it } from "node:test";
import WebSocket from "ws";
import { Lapwing } from "../src/index.js";
import { startTestbed } from "../../tests/clients/support/testbed.js";
import { until } from "../../tests/clients/support/wait.js";

const KEY = "a key that is long enough";

let testbed, mute;
const ends = [];

before(async () => {
  testbed = await startTestbed({ env: { INSPECT_KEY: KEY } });
  // Somebody who takes connections and says nothing.
  mute = net.createServer((socket) => socket.on("error", () => {}));
  await new Promise((resolve) => mute.listen(0, "127.0.0.1", resolve));
});

after(async () => {
  for (const end of ends) end();
  mute?.close();
  await testbed?.stop();
});

/** A WebSocket that goes elsewhere. */
function to(port) {
  return class extends WebSocket {
    constructor(url, protocols) {
      super(url.replace(/:\d+\//, `:${port}/`), protocols);
    }
  };
}

/** A session that talks all the time, and what the inspector shows of its path. What sessions of one mount have learned they share. */
function open(user, mount, options) {
  const session = new (Lapwing.with({ storage: null, ...options }))(`ws://${testbed.address}${mount}?vsn=2.0.0&user=${user}`);
  const talking = setInterval(() => session.readyState === 1 && session.send(JSON.stringify([null, "1", "phoenix", "heartbeat", {}])), 100);
  ends.push(() => (clearInterval(talking), session.close()));
  const shown = async () => {
    const headers = { authorization: `Bearer ${KEY}` };
    const answer = await fetch(`http://${testbed.address}/inspect/sessions?search=${user}`, { headers });
    const { rows } = await answer.json();
    return rows[0]?.path?.failures.map(({ transport, how, ms }) => `${transport} ${how}${ms === null ? "" : ` ${ms > 0}`}`);
  };
  // Where a machine is late, others fail as well.
  const shows = (wanted) => until(`${user} with "${wanted}"`, async () => (await shown())?.includes(wanted), 60_000);
  return { session, shows, shown };
}

it("one that a better one has overtaken is named as slower", async () => {
  let asked;
  const isAsked = new Promise((resolve) => (asked = resolve));
  const relay = net.createServer(async (client) => {
    await isAsked;
    const server = net.connect(testbed.port, "127.0.0.1");
    for (const socket of [client, server]) socket.on("error", () => {});
    client.pipe(server).pipe(client);
  });
  await new Promise((resolve) => relay.listen(0, "127.0.0.1", resolve));
  ends.push(() => relay.close());
  // The WebSocket gets through once the event stream, which says nothing, is on its way.
  const silence = () => new Promise(() => asked());
  const { session, shows } = open("overtaken", "/socket", { WebSocket: to(relay.address().port), fetch: silence, transports: ["websocket", "sse"], staggerMs: 100, attemptMs: 60_000 });
  await shows("sse slower true");
  assert.equal(session.status().transport, "websocket");
});

it("one that a worse one has overtaken is slower, and silent when a whole try of it came to nothing", async () => {
  const WebSocket = to(mute.address().port);
  const { session, shows } = open("silent", "/socket_default", { WebSocket, transports: ["websocket", "sse"], staggerMs: 100 });
  await shows("websocket silent");
  const [first, ...others] = session.status().failures.filter(({ transport }) => transport === "websocket");
  assert.deepEqual([first.how, first.ms > 0], ["slower", true]);
  assert.ok(others.some(({ how, ms }) => how === "silent" && ms === undefined), JSON.stringify(others));
});

it("what has failed stays named when something else fails", async () => {
  const { session, shows, shown } = open("failed", "/socket_deflate", { WebSocket: to(1), transports: ["websocket", "sse"] });
  await shows("websocket closed");
  session.cut();
  await shows("sse cut");
  assert.ok((await shown()).includes("websocket closed"));
});

it("what a try of a better one comes to is told though the session stays where it is", async () => {
  const { session, shows, shown } = open("climbing", "/socket_rates", { WebSocket: to(1), transports: ["websocket", "longpoll"] });
  await shows("websocket closed");
  const { failures } = session.status();
  await until("another try", () => session.status().failures.length > failures.length);
  assert.ok((await shown()).includes("websocket closed"));
});

it("where there is one request at a time, it goes with a poll", async () => {
  const { shows } = open("narrow", "/socket_short", { WebSocket: to(1), transports: ["websocket", "longpoll"], singleRequest: true });
  await shows("websocket closed");
});

it("a page for which all is well says nothing", async () => {
  const { session, shown } = open("well", "/socket", { WebSocket, staggerMs: 60_000, attemptMs: 60_000 });
  await new Promise((resolve) => (session.onmessage = resolve));
  assert.equal(await shown(), undefined);
});
