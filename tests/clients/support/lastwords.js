// What a page says last, in any engine: sessions without phoenix.js, in pages that close them or go.
//
// `engine` is `{ name, newPage }`; a page is something with `goto(url)`, `close()` and `evaluate(function, …)`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import WebSocket from "ws";
import { root, startTestbed } from "./testbed.js";
import { until, within } from "./wait.js";

/** The window of a session is a minute: whoever is seen to leave before half of it has said so. */
const LEAVE_MS = 30_000;
const TRANSPORTS = ["websocket", "sse", "longpoll"];

/** `overLimit: false` leaves out what a page cannot be sure to get rid of. */
export function lastWords(engine, { overLimit = true } = {}) {
  describe(`last words, ${engine.name}`, { timeout: 300_000 }, () => {
    let testbed, files, topics;
    before(async () => {
      [testbed, files, topics] = [await startTestbed(), await serveFiles(), 0];
    });
    after(async () => {
      files?.closeAllConnections();
      files?.close();
      await testbed?.stop();
    });

    /** A page with sessions of these users, and somebody who hears what they say and sees them leave. */
    async function scene(transport, users, run) {
      const topic = `${engine.name}-${transport}-${(topics += 1)}`;
      const observer = await observe(testbed, topic);
      const page = await engine.newPage();
      const url = `http://127.0.0.1:${files.address().port}/`;
      try {
        await page.goto(url);
        await page.evaluate(openSessions, { port: testbed.port, transport, users, topic });
        await until("all to be seen", () => users.every((user) => observer.joined.has(user)), LEAVE_MS);
        await run({ page, observer, elsewhere: `${url}elsewhere` });
        await until("all to be seen to leave", () => users.every((user) => observer.left.has(user)), LEAVE_MS);
      } finally {
        observer.close();
        await page.close().catch(() => {});
      }
    }

    for (const transport of TRANSPORTS) {
      it(`a session that is closed says all that was sent, by ${transport}`, async () => {
        await scene(transport, ["ann", "ben"], async ({ page, observer }) => {
          await page.evaluate(sayAndClose, 30_000);
          await until("both", () => observer.heard.length === 2, LEAVE_MS);
          assert.deepEqual(observer.heard.sort(), ["ann 30000", "ben 30000"]);
        });
      });

      it(`a page that goes elsewhere says what it says when it goes, by ${transport}`, async () => {
        await scene(transport, ["ann"], async ({ page, observer, elsewhere }) => {
          await page.evaluate(sayWhenHidden, 5);
          await page.goto(elsewhere);
          await until("the last words", () => observer.heard.length === 1, LEAVE_MS);
          assert.deepEqual(observer.heard, ["ann 5"]);
        });
      });

      it(`a page that is closed takes all its users along, by ${transport}`, async () => {
        await scene(transport, ["ann", "ben"], ({ page }) => page.close());
      });
    }

    if (overLimit) {
      it("two that wait with more than a browser lets go are both seen to leave", async () => {
        await scene("longpoll", ["ann", "ben"], async ({ page, elsewhere }) => {
          await page.evaluate(sayWhenHidden, 13_000);
          await page.goto(elsewhere);
        });
      });
    }
  });
}

async function observe(testbed, topic) {
  const socket = new WebSocket(`ws://127.0.0.1:${testbed.port}/socket/websocket?vsn=2.0.0&user=observer`);
  const seen = { joined: new Set(), left: new Set(), heard: [], close: () => socket.terminate() };
  socket.on("message", (text) => {
    const [, , , event, payload] = JSON.parse(text);
    for (const user of Object.keys(payload.joins ?? {})) seen.joined.add(user);
    for (const user of Object.keys(payload.leaves ?? {})) seen.left.add(user);
    if (event === "shout") seen.heard.push(`${payload.user} ${payload.text.length}`);
  });
  await within("the observer", new Promise((resolve) => socket.once("open", resolve)));
  for (const name of ["room", "presence"]) socket.send(JSON.stringify(["1", "1", `${name}:${topic}`, "phx_join", {}]));
  return seen;
}

async function serveFiles() {
  const server = http.createServer(({ url }, response) => {
    const file = url.match(/^\/js\/src\/[\w/]+\.js$/) && !url.includes("..") ? readFileSync(join(root, url)) : undefined;
    const type = file ? "text/javascript" : "text/html";
    // A browser puts no such page aside, to have it back as it was: it goes for good, also between two polls.
    response.writeHead(200, { "content-type": type, "cache-control": "no-store" }).end(file ?? "<!doctype html><link rel=icon href=data:,>");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

// The functions from here on run in the page.

async function openSessions({ port, transport, users, topic }) {
  const { Lapwing } = await import("/js/src/index.js");
  // A page that has something to say when it goes listens before its session does.
  addEventListener("pagehide", () => {
    for (const session of window.sessions) if (window.lastCharacters) session.shout(window.lastCharacters);
  });
  window.sessions = users.map((user) => {
    const transports = [transport];
    const session = new (Lapwing.with({ transports }))(`ws://127.0.0.1:${port}/socket?vsn=2.0.0&user=${user}`);
    const say = (topic, ref, event, payload) => session.send(JSON.stringify(["1", ref, topic, event, payload]));
    session.onopen = () => {
      for (const name of ["room", "presence"]) say(`${name}:${topic}`, "1", "phx_join", {});
    };
    // Three bytes each, so that characters are no measure.
    session.shout = (characters) => say(`room:${topic}`, null, "shout_from", { user, text: "中".repeat(characters) });
    return session;
  });
}

function sayAndClose(characters) {
  for (const session of window.sessions) session.shout(characters);
  for (const session of window.sessions) session.close();
}

function sayWhenHidden(characters) {
  window.lastCharacters = characters;
}
