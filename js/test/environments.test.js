// Programs that lack what pages have, and pages that do what they should not.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import vm from "node:vm";
import WebSocket from "ws";
import { Lapwing } from "../src/index.js";
import { copyOf } from "../src/bytes.js";
import { startTestbed } from "../../tests/clients/support/testbed.js";
import { until, within } from "../../tests/clients/support/wait.js";

let testbed;
before(async () => (testbed = await startTestbed()));
after(() => testbed.stop());

function open(options) {
  const session = new (Lapwing.with({ WebSocket, storage: null, ...options }))(`ws://127.0.0.1:${testbed.port}/socket?vsn=2.0.0`);
  return { session, opened: within("the session", new Promise((resolve) => (session.onopen = resolve))) };
}

/** Runs a module of its own, and says what it wrote and after how long it ended. */
async function run(code) {
  const from = Date.now();
  const child = spawn(process.execPath, ["--input-type=module", "--eval", code], { cwd: new URL("..", import.meta.url) });
  let out = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (out += text));
  const [status] = await within("the end of the program", once(child, "exit"), 60_000);
  return { status, out, ms: Date.now() - from };
}

describe("a page whose own code throws", () => {
  it("is told so, and its session goes on", async () => {
    const { out } = await run(`
      import { Lapwing } from "./src/index.js";
      process.on("uncaughtException", ({ message }) => console.log("reported", message));
      const onStatus = () => { throw new Error("mine") };
      const transports = ["longpoll"];
      const session = new (Lapwing.with({ onStatus, transports }))("ws://127.0.0.1:${testbed.port}/socket?vsn=2.0.0");
      session.onopen = () => { console.log("opened"); session.close(); throw new Error("yours") };
      session.onclose = () => console.log("closed");
    `);
    for (const word of ["reported mine", "reported yours", "opened", "closed"]) assert.ok(out.includes(word), out);
  });
});

describe("bytes", () => {
  it("are bytes whichever realm they come from", () => {
    const foreign = vm.runInNewContext("({ buffer: Uint8Array.of(1, 2, 3).buffer, view: Uint8Array.of(0, 1, 2, 3).subarray(1) })");
    for (const data of [foreign.buffer, foreign.view, new SharedArrayBuffer(3), new DataView(new ArrayBuffer(3))]) {
      const copy = copyOf(data);
      assert.ok(copy instanceof ArrayBuffer);
      assert.equal(copy.byteLength, 3);
    }
    assert.deepEqual(new Uint8Array(copyOf(foreign.view)), Uint8Array.of(1, 2, 3));
  });

  it("go where no text is, and what is neither is refused", async () => {
    const { session, opened } = open({ transports: ["websocket"] });
    await opened;
    for (const data of [5, null, undefined, {}, [1], new Date(), new Blob(["x"])]) {
      assert.throws(() => session.send(data), TypeError);
    }
    const { buffer } = vm.runInNewContext("Uint8Array.of(1, 2, 3)");
    session.send(buffer);
    const { code, reason } = await within("the close", new Promise((resolve) => (session.onclose = resolve)));
    assert.deepEqual([code, reason], [1011, "bad_message"], "it is no message of phoenix, but it is one of bytes");
  });
});

describe("a worker", () => {
  it("has a window without a document, or none", async () => {
    const page = new EventTarget();
    globalThis.window = globalThis;
    globalThis.addEventListener = page.addEventListener.bind(page);
    globalThis.removeEventListener = page.removeEventListener.bind(page);
    try {
      const { session, opened } = open({ transports: ["longpoll"] });
      await opened;
      page.dispatchEvent(new Event("offline"));
      page.dispatchEvent(new Event("online"));
      session.close();
    } finally {
      for (const name of ["window", "addEventListener", "removeEventListener"]) delete globalThis[name];
    }
  });
});

describe("a fetch whose bodies cannot be read as they come", () => {
  it("will do for long-poll, and is no way for an event stream", async () => {
    const fetch = async (url, options) => {
      const answer = await globalThis.fetch(url, options);
      return { ok: answer.ok, status: answer.status, body: {}, text: () => answer.text() };
    };
    const { session, opened } = open({ transports: ["longpoll"], fetch });
    await opened;
    session.close();
    const { session: stream } = open({ transports: ["sse"], fetch, EventSource: null });
    const { reason } = await within("the close", new Promise((resolve) => (stream.onclose = resolve)));
    assert.equal(reason, "no transport got through");
    assert.equal(stream.status().failures[0].how, "no stream");
  });
});

describe("a program", () => {
  it("without EventTarget, Event and DOMException has a session all the same", async () => {
    const { out } = await run(`
      for (const name of ["EventTarget", "Event", "DOMException", "TextDecoder", "Response", "performance"]) delete globalThis[name];
      const { Lapwing } = await import("./src/index.js");
      const transports = ["longpoll"];
      const fetch = async (url, { body }) => {
        const { request } = await import("node:http");
        return new Promise((resolve, reject) => request(url, { method: "POST" }, (answer) => {
          let text = "";
          answer.on("data", (data) => (text += data));
          answer.on("end", () => resolve({ ok: true, status: 200, text: async () => text }));
        }).on("error", reject).end(body));
      };
      const session = new (Lapwing.with({ transports, fetch }))("ws://127.0.0.1:${testbed.port}/socket?vsn=2.0.0");
      try { session.send("x") } catch ({ name }) { console.log(name) }
      const listener = () => console.log("never");
      session.addEventListener("open", listener);
      session.removeEventListener("open", listener);
      session.addEventListener("open", () => { throw new Error("mine") });
      session.onopen = () => { console.log("opened"); session.close() };
      session.onclose = ({ code }) => console.log("closed", code);
      process.on("uncaughtException", ({ message }) => console.log("reported", message));
    `);
    assert.deepEqual(out.trim().split("\n").sort(), ["InvalidStateError", "closed 1000", "opened", "reported mine"]);
  });

  it("ends at once after an attempt that came to nothing", async () => {
    const { out, ms } = await run(`
      import { Lapwing } from "./src/index.js";
      const session = new Lapwing("ws://127.0.0.1:1/socket");
      session.onclose = ({ code }) => { console.log("closed", code, process.uptime()); process.on("exit", () => console.log(process.uptime())) };
    `);
    const [, closedAt, endedAt] = out.match(/closed 1006 ([\d.]+)\n([\d.]+)/);
    assert.ok(endedAt - closedAt < 3, `${out} ${ms}`);
  });
});
