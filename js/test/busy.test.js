// A server that does not take what it has read, since its program has something else to do: that is no failure of the network.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import WebSocket from "ws";
import { Lapwing } from "../src/index.js";
import { startTestbed } from "../../tests/clients/support/testbed.js";
import { until, within } from "../../tests/clients/support/wait.js";

let testbed;
before(async () => (testbed = await startTestbed()));
after(() => testbed.stop());

const BUSY_MS = 5_000;

/** A session over a server whose POSTs with frames are `busy` until that is over, and how many there were. */
async function asked(options, { fetch, isOver }) {
  const counts = { posts: 0 };
  const counting = (url, init) => {
    if (/^!from /m.test(init.body)) counts.posts += 1;
    return fetch(url, init);
  };
  const session = new (Lapwing.with({ WebSocket, storage: null, fetch: counting, ...options }))(`ws://127.0.0.1:${testbed.port}/socket?vsn=2.0.0`);
  const answers = [];
  session.onmessage = ({ data }) => answers.push(JSON.parse(data)[1]);
  session.onclose = ({ code, reason }) => answers.push(`${code} ${reason}`);
  await within("the session", new Promise((resolve) => (session.onopen = resolve)));
  session.send(JSON.stringify([null, "1", "phoenix", "heartbeat", {}]));
  await until("the answer", () => answers.length, 60_000);
  assert.ok(isOver(), "it was not answered before");
  const { singleRequest, failures } = session.status();
  const seen = { answers: [...answers], ...counts, singleRequest, failures };
  session.close();
  return seen;
}

it("a request is waited for as long as the server says that it is busy, over sse", async () => {
  let say = () => {};
  let isOver = false;
  /** The body of an event stream, and what is said in between. */
  const stirred = ({ body, status, headers }) => {
    const encoder = new TextEncoder();
    const stream = new ReadableStream({
      async start(controller) {
        say = (line) => controller.enqueue(encoder.encode(`data: ${line}\n\n`));
        for await (const piece of body) controller.enqueue(piece);
        controller.close();
      },
    });
    stream.catch?.(() => {});
    return new Response(stream, { status, headers });
  };
  const fetch = async (url, init) => {
    if (!init.body.startsWith("!send")) return stirred(await globalThis.fetch(url, init));
    if (/^!from /m.test(init.body) && !isOver) {
      for (let n = 0; n < 2 * (BUSY_MS / 1_000); n += 1) {
        await new Promise((resolve) => setTimeout(resolve, 500));
        if (init.signal.aborted) throw init.signal.reason;
        say("!busy 0");
      }
      isOver = true;
    }
    return globalThis.fetch(url, init);
  };
  const seen = await asked({ transports: ["sse"] }, { fetch, isOver: () => isOver });
  assert.deepEqual([seen.answers, seen.posts, seen.failures, seen.singleRequest], [["1"], 1, [], false]);
});

describe("a channel that takes longer than an attachment may be silent", { concurrency: true }, () => {
  const WAIT_MS = 8_000;
  /** More than a mailbox takes, so that nothing more is read, and more than a socket holds. */
  const EVENTS = 1_100;
  const LARGE = "x".repeat(1 << 20);

  for (const transport of ["websocket", "sse", "longpoll"]) {
    it(`is no failure of the network, over ${transport}`, { timeout: 120_000 }, async () => {
      const changes = new Set();
      const onStatus = ({ state, transport }) => changes.add(`${state} ${transport}`);
      const options = { WebSocket, storage: null, transports: [transport], onStatus };
      const session = new (Lapwing.with(options))(`ws://127.0.0.1:${testbed.port}/socket?vsn=2.0.0`);
      const answers = [];
      const ends = [];
      session.onmessage = ({ data }) => answers.push(JSON.parse(data));
      session.onclose = ({ code, reason }) => ends.push(`${code} ${reason}`);
      await within("the session", new Promise((resolve) => (session.onopen = resolve)));
      const say = (ref, event, payload) => session.send(JSON.stringify(["1", ref, "room:busy", event, payload]));
      say("1", "phx_join", {});
      await until("the join", () => answers.length);
      changes.clear();
      const began = performance.now();
      say("wait", "wait", { ms: WAIT_MS });
      say("large", "ping", { text: LARGE });
      for (let n = 0; n < EVENTS; n += 1) say(`${n}`, "ping", {});
      await until("all answers", () => answers.length === EVENTS + 3 || ends.length, 90_000);
      assert.ok(performance.now() - began >= WAIT_MS, "the channel took its time");
      const refs = answers.slice(1).map(([, ref]) => ref);
      assert.deepEqual(refs, ["wait", "large", ...Array.from({ length: EVENTS }, (_, n) => `${n}`)]);
      const { failures, resumes, singleRequest } = session.status();
      assert.deepEqual({ failures, resumes, singleRequest, ends }, { failures: [], resumes: 0, singleRequest: false, ends: [] });
      assert.deepEqual([...changes].filter((change) => change !== `open ${transport}`), []);
      session.close();
    });
  }
});

// The last one leaves its mark on what the others share.
for (const [transport, singleRequest] of [["sse", false], ["longpoll", false], ["longpoll", true]]) {
  it(`answers that say how far it came are no loss, over ${transport}${singleRequest ? " with one request at a time" : ""}`, async () => {
    let until = 0;
    const isOver = () => Date.now() > until;
    const fetch = async (url, init) => {
      if (!/^!from /m.test(init.body)) return globalThis.fetch(url, init);
      until ||= Date.now() + BUSY_MS;
      if (isOver()) return globalThis.fetch(url, init);
      // As if the server had taken the lines before the frames alone.
      return globalThis.fetch(url, { ...init, body: init.body.split("\n!from ")[0] });
    };
    const seen = await asked({ transports: [transport], singleRequest }, { fetch, isOver });
    assert.deepEqual(seen.answers, ["1"]);
    assert.deepEqual(seen.failures, []);
    assert.equal(seen.singleRequest, singleRequest, "nothing is learned from it");
    assert.ok(seen.posts <= 3 + BUSY_MS / 1_000, `${seen.posts} requests`);
  });
}
