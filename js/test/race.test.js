// Which attachment carries a session, decided without a session and without a network.

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { describe, it } from "node:test";
import { Chooser } from "../src/chooser.js";
import { now } from "../src/clock.js";
import { complete } from "../src/options.js";
import { Race } from "../src/race.js";

const ALL = ["websocket", "sse", "longpoll"];

/** A race whose attachments are names. `next(name)` resolves to one of a transport that was not asked for yet. */
function race(options) {
  const news = new EventEmitter();
  const opened = [];
  const open = (name, how) => {
    const attachment = { name, how, ends: [], drop: () => attachment.ends.push("drop"), retire: () => attachment.ends.push("retire") };
    opened.push(attachment);
    news.emit("opened");
    return attachment;
  };
  const given = new Set();
  const next = async (name) => {
    for (;;) {
      const found = opened.find((attachment) => attachment.name === name && !given.has(attachment) && !attachment.ends.length);
      if (found) return given.add(found), found;
      await once(news, "opened");
    }
  };
  let resolve;
  const lost = new Promise((done) => (resolve = done));
  const chooser = new Chooser();
  const made = new Race({
    options: complete(options),
    transports: ALL,
    chooser,
    open,
    network: () => ({ rtt: 5, isOnline: true }),
    on: { lost: () => resolve(), changed() {} },
  });
  return { race: made, chooser, opened, next, lost };
}

/** A race that `name` has won. */
async function wonBy(name) {
  const it = race({ staggerMs: 20 });
  it.race.start();
  it.race.proven(await it.next(name));
  return it;
}

describe("a race", () => {
  it("starts the transports one after the other and keeps the one that is proven first", async () => {
    const { race, opened } = await wonBy("sse");
    const [websocket, sse] = opened;
    assert.deepEqual(opened.map(({ name }) => name), ["websocket", "sse"]);
    assert.equal(race.current, sse);
    assert.deepEqual([websocket.ends, sse.ends], [["retire"], []]);
    const [{ ms, ...overtaken }] = race.failures;
    assert.deepEqual([overtaken.transport, overtaken.how], ["websocket", "slower"]);
    assert.ok(ms >= 19, `it had ${ms} ms, and the other one started after 20`);
    race.stop();
    assert.deepEqual(sse.ends, ["drop"]);
  });

  it("gives a path more time on which nobody has answered", async () => {
    const times = [];
    let resolve;
    const over = new Promise((done) => (resolve = done));
    const open = () => {
      const startedAt = now();
      return { name: "websocket", drop() {}, retire: () => times.push(now() - startedAt) };
    };
    const race = new Race({
      options: complete({ attemptMs: 50 }),
      transports: ["websocket"],
      chooser: new Chooser(),
      open,
      network: () => ({ rtt: 1, isOnline: true }),
      on: { lost: () => (times.length < 4 ? race.start() : resolve()), changed() {} },
    });
    race.start();
    await over;
    const [, second, third, fourth] = times;
    // A timer may be late, and not early.
    assert.ok(second >= 49 && third >= 99 && fourth >= 99, `${times}`);
  });

  it("says that it is lost when all have failed", async () => {
    const { race: it, next, lost } = race({ staggerMs: 1 });
    it.start();
    for (const name of ALL) it.ended(await next(name), "error");
    await lost;
    assert.equal(it.current, null);
    assert.deepEqual(it.failures.map(({ transport, how }) => `${transport} ${how}`), ALL.map((name) => `${name} error`));
    it.stop();
  });

  for (const [words, from, to, move] of [
    ["better than sse", "sse", "websocket", () => {}],
    ["sse is forbidden", "sse", "longpoll", (race) => (race.forbid("websocket"), race.forbid("sse"))],
    ["preferred to websocket", "websocket", "longpoll", (race) => race.prefer("longpoll")],
  ]) {
    it(`says "${words}" of one that took over for that`, async () => {
      const { race, next } = await wonBy(from);
      move(race);
      const better = await next(to);
      assert.equal(better.how.isProbe, true, "another one carries the session meanwhile");
      const before = race.current;
      race.proven(better);
      assert.deepEqual([race.current, before.ends], [better, ["drop"]]);
      assert.match(race.why, new RegExp(`^${words}, proven after \\d+ ms`));
      race.stop();
    });
  }

  it("says so too if the one before learned first that it was superseded", async () => {
    const { race, next } = await wonBy("websocket");
    race.forbid("websocket");
    const successor = await next("sse");
    race.ended(race.current, "superseded");
    race.proven(successor);
    assert.match(race.why, /^websocket is forbidden, proven/);
    race.stop();
  });

  it("goes back at once where the one that took the session cannot carry it, and leaves that one alone", async () => {
    const { race, next } = await wonBy("longpoll");
    race.forbid("websocket");
    const successor = await next("sse");
    race.ended(race.current, "superseded");
    race.ended(successor, "silent");
    race.proven(await next("longpoll"));
    assert.match(race.why, /^proven after/);
    assert.ok(race.climbAt.at > Date.now() + 40_000, "it is not tried again soon");
    race.stop();
  });

  it("replaces the current one when it dies", async () => {
    const { race, next } = await wonBy("websocket");
    race.ended(race.current, "closed 1006");
    assert.equal(race.current, null);
    race.proven(await next("websocket"));
    assert.match(race.why, /^proven after/);
    race.stop();
  });

  it("holds nothing against a WebSocket that a restarting server ends, however young", async () => {
    for (const [how, isDemoted] of [["closed 1012", false], ["closed 1006", true]]) {
      const { race, chooser, next } = await wonBy("websocket");
      for (let death = 0; death < 3; death += 1) {
        race.ended(race.current, how);
        race.proven(await next("websocket"));
      }
      assert.equal(chooser.isDemoted("websocket", now()), isDemoted, how);
      race.stop();
    }
  });
});
