// Pushes, replies and broadcasts.

import assert from "node:assert/strict";
import { collect, joined, ok, outcome } from "../support/world.js";
import { until } from "../support/wait.js";

const MB = 1 << 20;

export const events = {
  async "replies: ok, error, bare, late, and none"(world) {
    const channel = await joined(world.socket(), world.topic());
    const payload = { text: "ä🦆\u2028\"\\\n", deep: [[{ n: -1.5e-7 }, null, true]], "": "", big: 2 ** 53 };
    assert.deepEqual(await ok(channel, "ping", payload), payload);
    for (const value of [[], "text", 7, true]) {
      assert.deepEqual(await ok(channel, "ping", value), value);
    }
    assert.deepEqual(await outcome(channel.push("boom_reply", {})), {
      status: "error",
      response: { reason: "no" },
    });
    assert.deepEqual(await outcome(channel.push("ok_bare", {})), { status: "ok", response: {} });
    assert.deepEqual(await outcome(channel.push("error_bare", {})), { status: "error", response: {} });

    const order = [];
    const late = outcome(channel.push("late_reply", { n: 1 })).then(() => order.push("late"));
    const soon = outcome(channel.push("ping", { n: 2 })).then(() => order.push("soon"));
    await Promise.all([late, soon]);
    assert.deepEqual(order, ["soon", "late"]);

    assert.equal((await outcome(channel.push("noop", {}, 150))).status, "timeout");
    assert.equal(channel.state, "joined");
  },

  async "1,000 pushes arrive once and in order, and so do 1,000 messages from the server"(world) {
    const channel = await joined(world.socket(), world.topic());
    const pushed = collect(channel, "pushed");
    const expected = Array.from({ length: 1_000 }, (_, n) => ({ n }));
    if (world.transport.keepsOrder) {
      for (const payload of expected) channel.push("push_me", payload);
    } else {
      for (const payload of expected) {
        channel.push("push_me", payload);
        await until(`message ${payload.n}`, () => pushed.length > payload.n);
      }
    }
    await until("1,000 messages", () => pushed.length >= expected.length, 20_000);
    await ok(channel, "ping", {});
    assert.deepEqual(pushed, expected);
  },

  async "broadcasts reach everybody, or everybody else, once and in the same order"(world) {
    const topic = world.topic();
    const sockets = [world.socket(), world.socket(), world.websocket()];
    const channels = await Promise.all(sockets.map((socket) => joined(socket, topic)));
    const heard = channels.map((channel) => collect(channel, "shout"));
    for (let n = 0; n < 50; n += 1) {
      channels[0].push("shout", { by: 0, n });
      channels[2].push("shout", { by: 2, n });
    }
    await until("100 shouts at each", () => heard.every((shouts) => shouts.length >= 100), 20_000);
    assert.deepEqual(heard[1], heard[0]);
    assert.deepEqual(heard[2], heard[0]);
    for (const by of world.transport.keepsOrder ? [0, 2] : [2]) {
      const numbers = heard[0].filter((shout) => shout.by === by).map((shout) => shout.n);
      assert.deepEqual(numbers, Array.from({ length: 50 }, (_, n) => n));
    }

    channels[0].push("shout_from", { last: true });
    await until("the last at the others", () => heard[1].length === 101 && heard[2].length === 101);
    await ok(channels[0], "ping", {});
    assert.equal(heard[0].length, 100);
  },

  async "30 channels on one socket"(world) {
    const socket = world.socket();
    const topics = Array.from({ length: 30 }, () => world.topic());
    const channels = await Promise.all(topics.map((topic) => joined(socket, topic)));
    const heard = channels.map((channel) => collect(channel, "shout"));
    const answers = await Promise.all(channels.map((channel, n) => ok(channel, "ping", { n })));
    assert.deepEqual(answers, channels.map((_, n) => ({ n })));
    channels.forEach((channel, n) => channel.push("shout", { n }));
    await until("a shout in each", () => heard.every((shouts) => shouts.length > 0));
    await Promise.all(channels.map((channel) => ok(channel, "ping", {})));
    assert.deepEqual(heard, channels.map((_, n) => [{ n }]));
    channels.slice(1).forEach((channel) => channel.leave());
    assert.deepEqual(await ok(channels[0], "ping", { last: 1 }), { last: 1 });
  },

  async "topics of any script"(world) {
    const [one, other] = [world.socket(), world.socket()];
    for (const name of ["räume/北京 🦆", "\"quoted\\\" 'and' [more]{}", "שלום:а:*", " ", "\u0000\u001f\u2029", "ü".repeat(120)]) {
      const topic = world.topic(name);
      const [a, b] = await Promise.all([joined(one, topic), joined(other, topic)]);
      const heard = collect(b, "shout");
      a.push("shout", { in: name });
      await until(`the shout in ${topic}`, () => heard.length === 1);
      assert.deepEqual(heard, [{ in: name }]);
    }
  },

  async "payloads of 1 MB go both ways and on to others"(world) {
    const topic = world.topic();
    const [one, other] = [await joined(world.socket(), topic), await joined(world.socket(), topic)];
    const heard = collect(other, "shout");
    const text = "0123456789äöü\n🦆 ".repeat(MB / 16).slice(0, MB);
    const echoed = await ok(one, "ping", { text });
    assert.ok(echoed.text === text, "the echo differs");
    one.push("shout", { text });
    await until("the shout", () => heard.length === 1, 20_000);
    assert.ok(heard[0].text === text, "the shout differs");
  },
};
