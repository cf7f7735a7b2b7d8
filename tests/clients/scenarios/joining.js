// Getting in, being refused, and getting out.

import assert from "node:assert/strict";
import { collect, countJoins, joined, ok, outcome } from "../support/world.js";
import { pause, until } from "../support/wait.js";

export const joining = {
  async "a join is answered, with the parameters of the socket and of the channel"(world) {
    const socket = world.socket({ params: { user: "ann ä&=" } });
    const channel = socket.channel("room:ident", { a: [1, { b: null }] });
    const result = await outcome(channel.join());
    assert.deepEqual(result, { status: "ok", response: { you: "ann ä&=", params: { a: [1, { b: null }] } } });
    assert.equal(socket.connectionState(), "open");
    assert.equal(channel.state, "joined");
  },

  async "refused joins say why, and hurt no other channel"(world) {
    const socket = world.socket();
    const channel = await joined(socket, world.topic());
    for (const [topic, reason] of [
      ["room:forbidden", "unauthorized"],
      ["nowhere:1", "unmatched topic"],
      ["room:joincrash", "join crashed"],
    ]) {
      const refused = socket.channel(topic);
      assert.deepEqual(await outcome(refused.join()), { status: "error", response: { reason } });
      assert.equal(refused.state, "errored");
      refused.leave();
    }
    assert.deepEqual(await ok(channel, "ping", { still: "here" }), { still: "here" });
  },

  async "a refused connection never opens"(world) {
    const socket = world.socket({ params: { refuse: "error" }, reconnectAfterMs: () => 5_000, connected: false });
    const seen = [];
    socket.onOpen(() => seen.push("open"));
    socket.onError(() => seen.push("error"));
    socket.onClose(() => seen.push("close"));
    socket.connect();
    await until("an error", () => seen.includes("error") && seen.includes("close"));
    await pause(50);
    assert.ok(!seen.includes("open"), `seen: ${seen}`);
    assert.notEqual(socket.connectionState(), "open");
  },

  async "what is pushed before the socket is open and the join done is sent after it, in order"(world) {
    const socket = world.socket({ connected: false });
    const channel = socket.channel(world.topic());
    const join = outcome(channel.join());
    const pushes = Array.from({ length: 20 }, (_, n) => outcome(channel.push("ping", { n })));
    socket.connect();
    assert.equal((await join).status, "ok");
    const answers = (await Promise.all(pushes)).map(({ response }) => response.n);
    assert.deepEqual(answers, Array.from({ length: 20 }, (_, n) => n));
  },

  async "who has left hears nothing more, and may join again"(world) {
    const [leaver, stayer] = [world.socket(), world.socket()];
    const topic = world.topic();
    const leaving = await joined(leaver, topic);
    const staying = await joined(stayer, topic);
    const [heardByLeaver, heardByStayer] = [collect(leaving, "shout"), collect(staying, "shout")];
    staying.push("shout", { n: 1 });
    await until("the first shout at both", () => heardByLeaver.length === 1 && heardByStayer.length === 1);

    const frames = [];
    leaver.onMessage(({ event, payload }) => {
      if (event === "shout") frames.push(payload);
    });
    let closed = false;
    leaving.onClose(() => (closed = true));
    assert.equal((await outcome(leaving.leave())).status, "ok");
    assert.ok(closed);
    // The client resolves a leave by itself. A message on the same connection waits until the server has done it.
    const other = await joined(leaver, world.topic());
    staying.push("shout", { n: 2 });
    await until("the second shout", () => heardByStayer.length === 2);
    await ok(other, "ping", {});
    assert.deepEqual(frames, []);
    assert.deepEqual(heardByLeaver, [{ n: 1 }]);

    const again = await joined(leaver, topic);
    const heardAgain = collect(again, "shout");
    staying.push("shout", { n: 3 });
    await until("a shout after the second join", () => heardAgain.length === 1);
    assert.deepEqual(heardAgain, [{ n: 3 }]);
  },

  async "a second join of a topic takes the place of the first"(world) {
    const socket = world.socket();
    const topic = world.topic();
    const first = await joined(socket, topic);
    let closed = false;
    first.onClose(() => (closed = true));
    const second = await joined(socket, topic);
    assert.ok(closed);
    const heard = collect(second, "shout");
    second.push("shout", { n: 1 });
    await until("the shout", () => heard.length > 0);
    await ok(second, "ping", {});
    assert.deepEqual(heard, [{ n: 1 }]);
    assert.equal(second.state, "joined");
  },

  async "a channel that the server stops stays closed"(world) {
    for (const event of ["stop", "stop_shutdown"]) {
      const channel = world.socket().channel(world.topic());
      const { count, first } = countJoins(channel);
      await first;
      channel.push(event, {});
      await until(`the close after ${event}`, () => count.closes === 1);
      assert.equal(channel.state, "closed");
      await pause(30);
      assert.deepEqual(count, { joins: 1, errors: 0, closes: 1 });
    }
  },

  async "a channel that stops with a reply gives the reply first"(world) {
    const channel = await joined(world.socket(), world.topic());
    const order = [];
    channel.onClose(() => order.push("close"));
    channel.push("stop_reply", {}).receive("ok", () => order.push("ok"));
    await until("both", () => order.length === 2);
    assert.deepEqual(order, ["ok", "close"]);
  },
};
