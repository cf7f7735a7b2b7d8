// Kept topics with the stock clients: channels that are cut and come back get what they missed, once and in order.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { recover } from "../../js/src/recover.js";
import { loadClient, transportsOf } from "./support/clients.js";
import { SEED } from "./support/seed.js";
import { startTestbed } from "./support/testbed.js";
import { until, within } from "./support/wait.js";

const MESSAGES = 600;

/** Numbers from 0 to 1 that follow from the seed. */
let state = SEED;
function next() {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  return state / 2 ** 32;
}

for (const version of ["1.7.21", "1.8.16"]) {
  const client = await loadClient(version);
  const testbed = await startTestbed({ env: { KEEP: String(MESSAGES) } });
  describe(`kept topics, phoenix ${version}, SEED=${SEED}`, () => {
    for (const transport of transportsOf(version, client)) {
      describe(transport.name, () => {
        before(transport.use);
        // A client that does not join again when its session is gone has nothing to ask with.
        if (transport.rejoinsWhenGone) {
          it("a channel that is cut again and again gets every message once and in order", { timeout: 120_000 }, () =>
            cut(testbed, client, transport),
          );
        }
        it("a page that is opened again goes on where the one before it was closed", { timeout: 60_000 }, () =>
          reopened(testbed, client, transport),
        );
        it("a page is told when there is a hole", { timeout: 60_000 }, () => hole(testbed, client, transport));
      });
    }
    after(() => testbed.stop());
  });
}

function connect(testbed, { Socket }, { transport }) {
  const socket = new Socket(`ws://${testbed.address}/socket`, {
    transport,
    reconnectAfterMs: () => 10,
    rejoinAfterMs: () => 10,
  });
  socket.connect();
  return socket;
}

/** A channel that notes the numbers that are said on it. */
async function listen(socket, topic, since) {
  const channel = socket.channel(topic, {});
  const position = recover(channel, since);
  const heard = [];
  channel.on("shout", ({ n }) => heard.push(n));
  const reply = await within("the join", new Promise((resolve) => channel.join().receive("ok", resolve)));
  return { channel, heard, position, reply };
}

async function speaker(testbed, client, transport, topic) {
  const socket = connect(testbed, client, transport);
  const { channel } = await listen(socket, topic);
  return {
    socket,
    say: (n, event = "shout") => channel.push(event, { n }),
    /** What was said before is broadcast when this is answered. */
    said: () => answered(channel.push("ping", {})),
  };
}

async function cut(testbed, client, transport) {
  const topic = `kept:cut-${next()}`;
  const { socket: mouth, say } = await speaker(testbed, client, transport, topic);
  const socket = connect(testbed, client, transport);
  const { heard, channel } = await listen(socket, topic, "");
  let cuts = 0;
  for (let n = 1; n <= MESSAGES; n += 1) {
    say(n);
    if (n % 10 === 0) await until("some are heard", () => heard.length > 0 && (next() < 0.5 || heard.length > n - 40));
    // Not while it connects: version 1.7 may never try again then.
    if (next() < 0.02 && socket.isConnected()) {
      cuts += 1;
      const { conn } = socket;
      if (conn.terminate) conn.terminate();
      else conn.close(3456, "cut");
    }
  }
  const all = Array.from({ length: MESSAGES }, (_, index) => index + 1);
  await until(`all are heard, after ${cuts} cuts`, () => heard.length >= MESSAGES).catch((error) => {
    throw new Error(`${error.message}: heard the last ${heard.at(-1)}, the channel is ${channel.state}`);
  });
  assert.deepEqual(heard, all);
  socket.disconnect();
  mouth.disconnect();
}

async function reopened(testbed, client, transport) {
  const topic = `kept:reopened-${next()}`;
  const { socket: mouth, say, said } = await speaker(testbed, client, transport, topic);
  let socket = connect(testbed, client, transport);
  const first = await listen(socket, topic, "");
  say(1);
  await until("it is heard", () => first.heard.length === 1);
  await within("the end of the connection", new Promise((resolve) => socket.disconnect(resolve)));
  const kept = first.position();
  for (const n of [2, 3]) say(n);
  await said();
  socket = connect(testbed, client, transport);
  const second = await listen(socket, topic, kept);
  assert.equal(second.reply._recovered, true);
  await until("what was missed is heard", () => second.heard.length === 2);
  say(4);
  await until("what follows is heard", () => second.heard.length === 3);
  assert.deepEqual([first.heard, second.heard], [[1], [2, 3, 4]]);
  say(5, "whisper");
  await until("a whisper is heard", () => second.heard.length === 4);
  const at = second.position();
  socket.disconnect();
  socket = connect(testbed, client, transport);
  const third = await listen(socket, topic, "-2");
  await until("the last two are heard", () => third.heard.length === 2);
  assert.deepEqual(third.heard, [3, 4], "a whisper is not kept");
  const { messages } = await answered(third.channel.push("history", { last: 3 }));
  assert.deepEqual(messages.map(({ event, payload }) => [event, payload.n]), [["shout", 2], ["shout", 3], ["shout", 4]]);
  assert.equal(messages[2].at, at);
  socket.disconnect();
  mouth.disconnect();
}

async function hole(testbed, client, transport) {
  const socket = connect(testbed, client, transport);
  const { reply, position } = await listen(socket, `kept:hole-${next()}`, "1:7");
  assert.deepEqual([reply._recovered, reply._replayed, reply._reason], [false, 0, "epoch"]);
  assert.equal(position(), reply._at, "from here on it goes on");
  socket.disconnect();
}

function answered(push) {
  return within("an answer", new Promise((resolve) => push.receive("ok", resolve)));
}
