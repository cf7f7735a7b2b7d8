// What breaks comes back by itself: crashed channels, cut connections, disconnected users.

import assert from "node:assert/strict";
import { collect, countJoins, joined, ok } from "../support/world.js";
import { startProxy } from "../support/proxy.js";
import { pause, until } from "../support/wait.js";

export const recovery = {
  async "a crashed channel is joined again, the others notice nothing"(world) {
    const socket = world.socket();
    const topic = world.topic();
    const channel = socket.channel(topic);
    const other = socket.channel(world.topic());
    const [crashing, bystanding] = [countJoins(channel), countJoins(other)];
    await Promise.all([crashing.first, bystanding.first]);
    const heard = collect(channel, "shout");
    for (const [round, event] of ["crash", "stop_other", "no_such_event"].entries()) {
      channel.push(event, {});
      await until(`the rejoin after ${event}`, () => crashing.count.joins === round + 2);
      channel.push("shout", { round });
      await until("a shout after it", () => heard.length === round + 1);
    }
    assert.deepEqual(heard, [{ round: 0 }, { round: 1 }, { round: 2 }]);
    assert.deepEqual(crashing.count, { joins: 4, errors: 3, closes: 0 });
    assert.deepEqual(bystanding.count, { joins: 1, errors: 0, closes: 0 });
    assert.deepEqual(await ok(other, "ping", { n: 1 }), { n: 1 });
  },

  async "after a cut connection all channels are joined again"(world) {
    const proxy = await startProxy(world.testbed.port);
    world.onEnd(() => proxy.stop());
    const socket = world.socket({ port: proxy.port });
    const channels = Array.from({ length: 3 }, () => socket.channel(world.topic()));
    const counts = channels.map(countJoins);
    await Promise.all(counts.map(({ first }) => first));
    const heard = channels.map((channel) => collect(channel, "shout"));

    // Between two polls there is nothing to cut.
    await until("a loss that is noticed", async () => {
      proxy.cut();
      await pause(50);
      return counts.every(({ count }) => count.errors > 0);
    });
    await until("the rejoins", () => counts.every(({ count }) => count.joins === 2));
    channels.forEach((channel, n) => channel.push("shout", { n }));
    await until("a shout in each", () => heard.every((shouts) => shouts.length > 0));
    await Promise.all(channels.map((channel) => ok(channel, "ping", {})));
    assert.deepEqual(heard, [[{ n: 0 }], [{ n: 1 }], [{ n: 2 }]]);
    for (const { count } of counts) assert.equal(count.closes, 0);
  },

  async "what is pushed while the network is away is sent when it is back"(world) {
    const proxy = await startProxy(world.testbed.port);
    world.onEnd(() => proxy.stop());
    const socket = world.socket({ port: proxy.port });
    const channel = socket.channel(world.topic());
    const { count, first } = countJoins(channel);
    await first;
    proxy.down();
    await until("the loss to be noticed", () => channel.state === "errored");
    const answer = ok(channel, "ping", { n: 1 });
    await pause(200);
    assert.equal(count.joins, 1);
    proxy.up();
    assert.deepEqual(await answer, { n: 1 });
    assert.equal(count.joins, 2);
  },

  async "a disconnected user comes back"(world) {
    const user = world.topic("user").slice("room:".length);
    const socket = world.socket({ params: { user } });
    const bystander = world.socket({ params: { user: `${user}-other` } });
    let channel = socket.channel(world.topic());
    const other = bystander.channel(world.topic());
    const [mine, others] = [countJoins(channel), countJoins(other)];
    await Promise.all([mine.first, others.first]);
    let opens = 0;
    socket.onOpen(() => (opens += 1));
    await world.testbed.fetch(`/disconnect/${user}`);
    await until("the reconnect", () => opens > 0);
    if (world.transport.rejoinsWhenGone) {
      await until("the rejoin", () => mine.count.joins === 2);
    } else {
      channel = await joined(socket, channel.topic);
    }
    const heard = collect(channel, "shout");
    channel.push("shout", { n: 1 });
    await until("a shout after it", () => heard.length === 1);
    assert.deepEqual(others.count, { joins: 1, errors: 0, closes: 0 });
  },

  async "a socket that its page disconnects can be connected again"(world) {
    const socket = world.socket();
    const channel = socket.channel(world.topic());
    const { count, first } = countJoins(channel);
    await first;
    await new Promise((resolve) => socket.disconnect(resolve));
    await pause(100);
    assert.equal(count.joins, 1);
    socket.connect();
    await until("the rejoin", () => count.joins === 2);
    assert.deepEqual(await ok(channel, "ping", { n: 1 }), { n: 1 });
  },
};

export const heartbeat = {
  async "heartbeats are answered, with and without channels"(world) {
    const socket = world.socket({ heartbeatIntervalMs: 60 });
    let beats = 0;
    let closes = 0;
    socket.onMessage(({ topic, event }) => {
      if (topic === "phoenix" && event === "phx_reply") beats += 1;
    });
    socket.onClose(() => (closes += 1));
    await until("three heartbeats", () => beats >= 3);
    await joined(socket, world.topic());
    const before = beats;
    await until("three more", () => beats >= before + 3);
    assert.equal(closes, 0);
  },
};

/**
 * Before 1.8.2 a client may believe that it is still joined when its session is a new one. A page finds out by a
 * push that is refused, and joins with a new channel.
 */
async function joinAnew(socket, channel, count) {
  let refused = false;
  await until("the loss of the session to show", () => {
    if (channel.state === "joined") channel.push("ping", {}).receive("error", () => (refused = true));
    return refused || count.joins === 2;
  });
  if (!refused) return channel;
  channel.leave();
  return joined(socket, channel.topic);
}
