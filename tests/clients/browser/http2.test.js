// A real browser over TLS: whatever a page does, it takes one connection of HTTP/2.

import assert from "node:assert/strict";
import https from "node:https";
import { after, before, describe, it } from "node:test";
import { launchChromium } from "../engines/chromium.js";
import { openPage } from "../support/page.js";
import { startExample } from "../support/testbed.js";
import { until } from "../support/wait.js";

/** Where the pages find our transport. */
const CLIENT = "/client/js/src/";
// The certificate is made at the server's start, and trusted by nobody.
const args = ["--ignore-certificate-errors"];

describe("a page over HTTP/2", { timeout: 120_000 }, () => {
  let server, browser, page, base;

  before(async () => {
    server = await startExample("tls");
    base = `https://localhost:${server.port}`;
    browser = await launchChromium({ args });
    page = await openPage(await browser.newContext({ ignoreHTTPSErrors: true }), `${base}/style.css`);
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  it("is spoken to in HTTP/2", async () => {
    const protocol = await page.evaluate(() => performance.getEntriesByType("navigation")[0].nextHopProtocol);
    assert.equal(protocol, "h2");
  });

  for (const name of ["websocket", "sse", "longpoll"]) {
    it(`carries the session dialect by ${name} over the connection that it has`, async () => {
      const { before, after, during } = await counted(() => page.evaluate(talk, { name, client: CLIENT }));
      assert.equal(after.accepted, before.accepted, "no other connection");
      assert.equal(during.resumable, 1);
      assert.equal(during[name === "websocket" ? "connections" : name], 1);
    });
  }

  it("moves a session from transport to transport on it", async () => {
    const { before, after, during } = await counted(() => page.evaluate(moving, CLIENT));
    assert.equal(after.accepted, before.accepted, "no other connection");
    assert.ok(during.resumed - before.resumed >= 3, "polls resume as well");
    assert.equal(during.resumable, 1, "it is one session all the time");
  });

  // Last, since the server remembers the long-poll session of a stock client for a while.
  for (const name of ["websocket", "longpoll"]) {
    it(`carries phoenix.js by ${name} over the connection that it has`, async () => {
      const { before, after, during } = await counted(() => page.evaluate(talk, { name }));
      assert.equal(after.accepted, before.accepted, "no other connection");
      assert.equal(during[name === "websocket" ? "connections" : "longpoll"], 1);
    });
  }

  it("speaks HTTP/1.1 to a client without HTTP/2", async () => {
    const request = https.get(`${base}/stats`, { rejectUnauthorized: false });
    const response = await new Promise((resolve) => request.once("response", resolve));
    assert.equal(response.httpVersion, "1.1");
    response.resume();
  });

  /** What the server counts before and after something that the page does, and what the page saw in the middle of it. */
  async function counted(deed) {
    // The last of a session that has ended may still be on its way.
    const before = await until("the end of earlier sessions", async () => {
      const counted = await page.evaluate(stats);
      return counted.resumable === 0 && counted;
    });
    const during = await deed();
    return { before, during, after: await page.evaluate(stats) };
  }
});

// The functions from here on run in the page.

async function stats() {
  return (await fetch("/stats", { cache: "no-store" })).json();
}

/** A client joins and talks: a stock one, or with `client` one with the transport of this repository. */
async function talk({ name, client }) {
  const { LongPoll, Socket } = await import("/phoenix.mjs");
  const stock = { websocket: WebSocket, longpoll: LongPoll };
  const transport = client
    ? (await import(`${client}index.js`)).Lapwing.with({ transports: [name], storage: null })
    : stock[name];
  const socket = new Socket("/socket", { transport });
  socket.connect();
  const room = `room:${client ? "session" : "stock"}-${name}`;
  const channel = socket.channel(room, { name: "Ann", color: "#0f766e", user: "ann" });
  const answered = (push) =>
    new Promise((resolve, reject) => {
      push.receive("ok", resolve).receive("error", (error) => reject(new Error(JSON.stringify(error))));
    });
  await answered(channel.join());
  const heard = new Promise((resolve) => channel.on("said", resolve));
  await answered(channel.push("say", { text: "Hello" }));
  await heard;
  const during = await (await fetch("/stats", { cache: "no-store" })).json();
  await new Promise((resolve) => socket.disconnect(resolve));
  return during;
}

/** One session over all transports, one after another. */
async function moving(client) {
  const [{ Socket }, { Lapwing }] = await Promise.all([import("/phoenix.mjs"), import(`${client}index.js`)]);
  const socket = new Socket("/socket", { transport: Lapwing.with({ storage: null }) });
  socket.connect();
  const channel = socket.channel("room:moving", { name: "Ann", color: "#0f766e", user: "ann" });
  await new Promise((resolve) => channel.join().receive("ok", resolve));
  const [session] = Lapwing.instances;
  for (const name of ["sse", "longpoll", "websocket"]) {
    session.switchTo(name);
    while (session.status().transport !== name) await new Promise((resolve) => setTimeout(resolve, 20));
    await new Promise((resolve) => channel.push("say", { text: name }).receive("ok", resolve));
  }
  const during = await (await fetch("/stats", { cache: "no-store" })).json();
  await new Promise((resolve) => socket.disconnect(resolve));
  return during;
}
