// The demo in any engine: two people, one session moved from transport to transport, and a page that goes and comes back.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startDemo } from "../support/testbed.js";
import { see } from "./engine.js";

/** The switches that are off, and what carries the session then. */
const moves = [
  [[], "WebSocket"],
  [["use-websocket"], "event stream"],
  [["use-websocket", "use-sse"], "long-poll"],
  [[], "WebSocket"],
];

export function demo(engine) {
  describe(`the demo, ${engine.name}`, () => {
    let server, ann, ben;
    const said = [];
    before(async () => {
      server = await startDemo();
      // Storage goes by origin, and each of them is somebody.
      [ann, ben] = await Promise.all([enter("127.0.0.1", "Ann"), enter("localhost", "Ben")]);
    });
    after(async () => {
      await ann?.close();
      await ben?.close();
      await server?.stop();
    });

    async function enter(host, name) {
      const page = await engine.browser.newPage();
      await page.goto(`http://${host}:${server.port}/style.css`);
      await page.evaluate((name) => {
        localStorage.setItem("lapwing:me", JSON.stringify({ user: `user-${name}`, name, color: "#0f766e" }));
      }, name);
      await page.goto(`http://${host}:${server.port}/?one#engines`);
      await carriedBy(page, "WebSocket");
      return page;
    }

    async function say(page, text) {
      said.push(text);
      await page.evaluate((text) => {
        document.getElementById("text").value = text;
        document.getElementById("say").requestSubmit();
      }, text);
      for (const reader of [ann, ben]) {
        await see(reader, `"${text}"`, (text) => [...document.querySelectorAll(".text")].some((one) => one.textContent === text), text);
      }
    }

    it("lists who is there", async () => {
      const names = () => [...document.querySelectorAll("#people .name")].map((name) => name.textContent).sort().join() === "Ann,Ben";
      for (const page of [ann, ben]) await see(page, "Ann and Ben", names);
    });

    it("moves a session from transport to transport, and every message is there once and in order", async () => {
      const opened = await ann.evaluate(openedAt);
      const seen = await ben.evaluate(seenComing, "Ann");
      for (const [forbidden, transport] of moves) {
        await ann.evaluate(forbid, forbidden);
        await carriedBy(ann, transport);
        await say(ann, `Ann by ${transport}, ${said.length}`);
        await say(ben, `Ben to ${transport}, ${said.length}`);
      }
      const shown = () => [...document.querySelectorAll(".text")].map((text) => text.textContent);
      for (const page of [ann, ben]) assert.deepEqual(await page.evaluate(shown), said);
      assert.equal(await ann.evaluate(openedAt), opened, "it is one session all the time");
      assert.equal(await ben.evaluate(seenComing, "Ann"), seen, "nobody saw Ann leave or come in meanwhile");
    });

    it("sees one leave whose page goes elsewhere, and come back with all that was said meanwhile", async () => {
      await ann.goto(`http://127.0.0.1:${server.port}/icon.svg`);
      await see(ben, "Ann's leave", leaves, "Ann");
      await ben.evaluate(() => {
        document.getElementById("text").value = "Said while Ann was away";
        document.getElementById("say").requestSubmit();
      });
      await ann.back();
      const isThere = () => [...document.querySelectorAll(".text")].some((text) => text.textContent === "Said while Ann was away");
      await see(ann, "what was said", isThere);
      await see(ben, "Ann's return", returned, "Ann");
    });
  });
}

const carriedBy = (page, transport) =>
  see(page, `carried by ${transport}`, (transport) => document.getElementById("status")?.textContent === `connected · ${transport}`, transport);

// The functions from here on run in the page.

function forbid(ids) {
  for (const id of ["use-websocket", "use-sse", "use-longpoll"]) {
    const box = document.getElementById(id);
    if (box.checked === ids.includes(id)) box.click();
  }
}

async function openedAt() {
  const { Lapwing } = await import("lapwing-transport");
  return [...Lapwing.instances].at(-1).status().openedAt;
}

/** Whether the last that was seen of somebody is that they left. */
function leaves(name) {
  const lines = [...document.querySelectorAll(".system")].map((line) => line.textContent);
  return lines.lastIndexOf(`${name} left`) > lines.lastIndexOf(`${name} came in`);
}

/** Whether somebody left, and came back after that. */
function returned(name) {
  const lines = [...document.querySelectorAll(".system")].map((line) => line.textContent);
  return lines.includes(`${name} left`) && lines.lastIndexOf(`${name} came in`) > lines.lastIndexOf(`${name} left`);
}

function seenComing(name) {
  const lines = [...document.querySelectorAll(".system")].map((line) => line.textContent);
  return lines.filter((line) => [`${name} left`, `${name} came in`].includes(line)).length;
}
