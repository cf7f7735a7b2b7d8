// What runs for a session's place, and is started again.

import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import WebSocket from "ws";
import { Lapwing } from "../src/index.js";
import { startBox } from "../../tests/clients/support/box.js";
import { startFaults } from "../../faults/client.js";
import { startTestbed } from "../../tests/clients/support/testbed.js";
import { pause, until, within } from "../../tests/clients/support/wait.js";

let testbed;
before(async () => (testbed = await startTestbed()));
after(() => testbed.stop());

it("what is reset by chance is started again beside what is mute, and does not wait for it", async () => {
  const asked = { sse: 0, longpoll: 0 };
  let resets = 0;
  // How often an event stream had been asked for when the first long-poll behind the resets was let through.
  let streams;
  const refuse = ({ url }) => {
    const transport = url.includes("/sse?") ? "sse" : "longpoll";
    asked[transport] += 1;
    if (transport === "sse") return "mute";
    if (resets > 0) return (resets -= 1), "reset";
    streams ??= asked.sse;
  };
  const box = await startBox(testbed.port, { refuse });
  const transports = ["sse", "longpoll"];
  // So long that whoever waited for it would be seen to.
  const transport = Lapwing.with({ WebSocket, storage: null, transports, attemptMs: 60_000, staggerMs: 50 });
  const session = new transport(`ws://127.0.0.1:${box.port}/socket?vsn=2.0.0`);
  await within("the session", new Promise((resolve) => (session.onopen = resolve)));
  session.cut();
  resets = 3;
  asked.sse = 0;
  streams = undefined;
  await until("the session to be carried again", () => streams !== undefined && session.status().state === "open");
  assert.equal(session.status().transport, "longpoll");
  assert.equal(streams, 1, "nobody had waited until the event stream was given up");
  session.close();
  await box.stop();
});

it("a page that says nothing settles on long-poll where nothing else gets through", async () => {
  // The server is asked for the stream, and moves the session there, of which nothing comes.
  const faults = await startFaults(testbed.port);
  await faults.set(["strip_upgrade", "mute_event_streams"]);
  const transport = Lapwing.with({ WebSocket, storage: null });
  const session = new transport(`ws://127.0.0.1:${faults.port}/socket?vsn=2.0.0`);
  await within("the session", new Promise((resolve) => (session.onopen = resolve)));
  const status = () => session.status();
  await until("a try of an event stream", () => status().failures.some(({ transport }) => transport === "sse"));
  await until("long-poll", () => status().transport === "longpoll");
  await pause(4_000);
  const { resumes } = status();
  assert.ok(resumes <= 2, `the session was carried on ${resumes} times`);
  await pause(4_000);
  assert.equal(status().resumes, resumes, "and then no more");
  session.close();
  await faults.stop();
});
