// The helper for kept topics, with a channel that a test plays, and with phoenix.js itself.

import assert from "node:assert/strict";
import { test } from "node:test";
import { loadClient } from "../../tests/clients/support/clients.js";
import { until } from "../../tests/clients/support/wait.js";
import { recover } from "../src/recover.js";

const clients = await Promise.all(["1.7.21", "1.8.16"].map(async (version) => [version, await loadClient(version)]));

/** A channel as phoenix.js has it: what it sends, and ways to answer it. */
function play(since) {
  let onOk;
  const heard = [];
  const channel = {
    joinPush: { payload: () => ({ own: 1 }), receive: (_, hook) => (onOk = hook) },
    trigger: (_event, _payload, ref) => heard.push(ref),
  };
  const position = recover(channel, since);
  return {
    heard,
    position,
    join: () => channel.joinPush.payload(),
    ok: (reply) => onOk(reply),
    hear: (ref) => channel.trigger("said", { n: 1 }, ref, null),
  };
}

test("a channel asks with what it heard last", () => {
  const { join, ok, hear, heard, position } = play();
  assert.deepEqual(join(), { own: 1, _since: "" });
  ok({ _at: "e:7" });
  hear("@8");
  hear(null);
  hear("12");
  assert.deepEqual(heard, ["@8", null, "12"]);
  assert.deepEqual([position(), join()], ["e:8", { own: 1, _since: "e:8" }]);
});

test("a page that has kept no position asks for nothing old", () => {
  assert.deepEqual(play(null).join(), { own: 1, _since: "" });
});

test("what is heard before an answer comes again behind it, and is not heard until then", () => {
  for (const since of ["", "-20", "e:58"]) {
    const { join, ok, hear, heard, position } = play(since);
    hear("@90");
    join();
    hear("@91");
    hear(null);
    assert.deepEqual([position(), heard], [since, [null]], "what has no place comes once");
    assert.equal(join()._since, since);
    ok({ _at: "e:90" });
    hear("@91");
    assert.deepEqual([position(), heard], ["e:91", [null, "@91"]]);
  }
});

test("a reply that has no place for a position is taken for one without", () => {
  for (const reply of [null, undefined, 3, "e:4", [1], true]) {
    const { join, ok, hear, heard, position } = play("e:58");
    join();
    ok(reply);
    hear("@91");
    assert.deepEqual([position(), heard], ["e:58", ["@91"]], `${reply}`);
  }
});

test("a channel that has said join is no channel to recover", () => {
  const channel = { joinedOnce: true, topic: "room:1", joinPush: {}, trigger() {} };
  assert.throws(() => recover(channel), { name: "Error", message: /room:1.*before join\(\)/ });
});

test("a topic that is not kept changes nothing", () => {
  const { join, ok, hear, heard, position } = play("e:58");
  join();
  ok({});
  hear("@91");
  assert.deepEqual([position(), heard], ["e:58", ["@91"]]);
});

/** A connection whose other end is the test. */
class Line {
  readyState = 0;
  sent = [];

  constructor() {
    Line.last = this;
    queueMicrotask(() => {
      this.readyState = 1;
      this.onopen();
    });
  }

  send(text) {
    this.sent.push(JSON.parse(text));
  }

  close() {
    this.readyState = 3;
  }

  /** The next message that the page sends with this event. */
  async next(event) {
    let found;
    await until(`a ${event}`, () => {
      const at = this.sent.findIndex((message) => message[3] === event);
      if (at >= 0) [found] = this.sent.splice(at, 1);
      return at >= 0;
    });
    return found;
  }

  say(...message) {
    this.onmessage({ data: JSON.stringify(message) });
  }

  said(n) {
    this.say(null, `@${n}`, "room:1", "said", { n });
  }

  answer([joinRef, ref, topic], response) {
    this.say(joinRef, ref, topic, "phx_reply", { status: "ok", response });
  }
}

for (const [version, { Socket }] of clients) {
  function open() {
    const socket = new Socket("ws://nowhere/socket", { transport: Line, rejoinAfterMs: () => 1, heartbeatIntervalMs: 600_000 });
    socket.connect();
    const heard = [];
    const listen = (since, timeout) => {
      const channel = socket.channel("room:1");
      const position = recover(channel, since);
      channel.on("said", ({ n }) => heard.push(n));
      channel.join(timeout);
      return { channel, position };
    };
    return { heard, listen, line: Line.last };
  }

  test(`a channel that is joined cannot be given a position any more, phoenix ${version}`, async () => {
    const { listen, line } = open();
    const { channel } = listen("");
    assert.throws(() => recover(channel), /before join\(\)/);
    line.answer(await line.next("phx_join"), null);
    assert.equal(channel.state, "joined", "a reply of null is one");
    assert.throws(() => recover(channel), /before join\(\)/);
  });

  test(`a page that leaves and joins again hears nothing twice, phoenix ${version}`, async () => {
    const { heard, listen, line } = open();
    const first = listen("");
    line.answer(await line.next("phx_join"), { _at: "e:4", _recovered: true, _replayed: 0 });
    line.said(5);
    first.channel.leave();
    const second = listen(first.position());
    // It was on its way when the page left.
    line.said(6);
    line.answer(await line.next("phx_leave"), {});
    const join = await line.next("phx_join");
    assert.equal(join[4]._since, "e:5");
    line.answer(join, { _at: "e:5", _recovered: true, _replayed: 1 });
    line.said(6);
    assert.deepEqual([heard, second.position()], [[5, 6], "e:6"]);
  });

  test(`a join that took too long is given up with all that follows it, phoenix ${version}`, async () => {
    const { heard, listen, line } = open();
    const { position } = listen("e:5", 20);
    const late = await line.next("phx_join");
    const leave = await line.next("phx_leave");
    line.answer(late, { _at: "e:5", _recovered: true, _replayed: 1 });
    line.said(6);
    line.answer(leave, {});
    const join = await line.next("phx_join");
    assert.equal(join[4]._since, "e:5");
    line.answer(join, { _at: "e:5", _recovered: true, _replayed: 2 });
    line.said(6);
    line.said(7);
    assert.deepEqual([heard, position()], [[6, 7], "e:7"]);
  });
}
