// What runs for a session's place, and is started again.

import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import WebSocket from "ws";
import { Lapwing } from "../src/index.js";
import { startBox } from "../../tests/clients/support/box.js";
import { startTestbed } from "../../tests/clients/support/testbed.js";
import { until, within } from "../../tests/clients/support/wait.js";

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
