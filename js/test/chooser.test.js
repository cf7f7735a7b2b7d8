// Which transport is tried when.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Chooser } from "../src/chooser.js";
import { SEED, randomOf } from "./support.js";

const ALL = ["websocket", "sse", "longpoll"];
const EVEN = 0.5;
const MINUTE = 60_000;

const die = (chooser, name, times, { how = "closed", age = 300, now = 0 } = {}) => {
  for (let n = 0; n < times; n += 1) chooser.died(name, how, age, now + n * (age + 1), EVEN);
};

describe("chooser", () => {
  it("begins with the best", () => {
    assert.deepEqual(new Chooser().order(ALL, 0), ALL);
  });

  it("begins with what worked last, and puts what failed beside it last", () => {
    const chooser = new Chooser();
    chooser.missed("websocket", "silent", -10, 0, EVEN);
    chooser.proved("sse", 0);
    assert.deepEqual(chooser.order(ALL, 500), ["sse", "longpoll", "websocket"]);
    assert.deepEqual(chooser.order(ALL, 2_000), ["sse", "longpoll", "websocket"]);
  });

  it("demotes what dies young three times", () => {
    const chooser = new Chooser();
    chooser.proved("websocket", 0);
    die(chooser, "websocket", 2);
    assert.equal(chooser.order(ALL, 400)[0], "websocket");
    die(chooser, "websocket", 1, { now: 700 });
    assert.deepEqual(chooser.order(ALL, 800), ["sse", "longpoll", "websocket"]);
    assert.equal(chooser.isShortLived("websocket"), true);
  });

  it("holds nothing against what dies old", () => {
    const chooser = new Chooser();
    die(chooser, "websocket", 10, { age: 20_000 });
    assert.equal(chooser.isDemoted("websocket", 200_000), false);
  });

  it("counts once what dies together, such as many sessions whose server restarts", () => {
    const chooser = new Chooser();
    for (let session = 0; session < 20; session += 1) chooser.died("websocket", "closed", 1_000, 5_000 + session, EVEN);
    assert.equal(chooser.isDemoted("websocket", 5_100), false);
  });

  it("forgets deaths after two minutes", () => {
    const chooser = new Chooser();
    die(chooser, "websocket", 2);
    die(chooser, "websocket", 2, { now: 3 * MINUTE });
    assert.equal(chooser.isDemoted("websocket", 3 * MINUTE + 10), false);
  });

  it("demotes what goes mute twice, and at once what is out of reach of requests", () => {
    const chooser = new Chooser();
    die(chooser, "websocket", 1, { how: "mute", age: 60_000 });
    assert.equal(chooser.isDemoted("websocket", 10), false);
    die(chooser, "websocket", 1, { how: "mute", age: 60_000, now: MINUTE + 10 });
    assert.equal(chooser.isDemoted("websocket", MINUTE + 20), true);
    die(chooser, "sse", 1, { how: "post", age: 60_000 });
    assert.equal(chooser.isDemoted("sse", 10), true);
  });

  it("one more death is enough for what was demoted lately", () => {
    const chooser = new Chooser();
    die(chooser, "websocket", 3);
    chooser.proved("websocket", 10);
    die(chooser, "websocket", 1, { now: MINUTE });
    assert.equal(chooser.isDemoted("websocket", MINUTE + 10), true);
  });

  it("what carries for half a minute is as good as new", () => {
    const chooser = new Chooser();
    die(chooser, "websocket", 3);
    chooser.carried("websocket", 40_000);
    assert.equal(chooser.isDemoted("websocket", 10), false);
    assert.equal(chooser.isShortLived("websocket"), false);
    die(chooser, "websocket", 2);
    assert.equal(chooser.isDemoted("websocket", 10), false);
  });

  it("tries only the first in most rounds while the server is away, and demotes nothing", () => {
    const chooser = new Chooser();
    chooser.proved("websocket", 0);
    let now = 0;
    const rounds = Array.from({ length: 8 }, () => {
      now += 10;
      const { length } = chooser.order(ALL, now);
      chooser.away(now, now + 5);
      // Another session that saw the same at the same time.
      chooser.away(now + 1, now + 6);
      return length;
    });
    assert.deepEqual(rounds, [3, 1, 1, 1, 3, 1, 1, 1]);
    assert.equal(chooser.isDemoted("websocket", 0), false);
    chooser.proved("websocket", now);
    assert.deepEqual(chooser.order(ALL, 0), ALL);
  });

  it("climbs to what is better, soon at first", () => {
    const chooser = new Chooser();
    assert.equal(chooser.climb("websocket", 0, ALL), null);
    assert.deepEqual(chooser.climb("longpoll", 5_000, ALL), { name: "websocket", at: 6_000 });
    chooser.missed("websocket", "silent", 4_000, 5_000, EVEN);
    assert.deepEqual(chooser.climb("sse", 5_000, ALL), { name: "websocket", at: 6_000 });
    chooser.missed("websocket", "silent", 6_000, 7_000, EVEN);
    assert.deepEqual(chooser.climb("sse", 5_000, ALL), { name: "websocket", at: 19_000 });
    assert.deepEqual(chooser.climb("longpoll", 5_000, ALL), { name: "sse", at: 6_000 });
  });

  it("doubts a first error at once, since the server may just have come back", () => {
    const chooser = new Chooser();
    chooser.missed("websocket", "error", 4_990, 5_000, EVEN);
    assert.deepEqual(chooser.climb("sse", 5_000, ALL), { name: "websocket", at: 5_000 });
    chooser.missed("websocket", "error", 5_001, 5_002, EVEN);
    assert.deepEqual(chooser.climb("sse", 5_000, ALL), { name: "websocket", at: 17_002 });
  });

  it("counts once what several sessions saw at the same time", () => {
    const chooser = new Chooser();
    for (let session = 0; session < 20; session += 1) chooser.missed("websocket", "error", 900 + session, 1_000 + session, EVEN);
    assert.deepEqual(chooser.climb("sse", 1_000, ALL), { name: "websocket", at: 1_000 });
    chooser.proved("websocket", 1_100);
    chooser.missed("websocket", "error", 1_050, 1_150, EVEN);
    assert.equal(chooser.isDemoted("websocket", 1_150), false);
  });

  it("leaves what may not be used any more for anything else", () => {
    assert.deepEqual(new Chooser().climb("websocket", 0, ["sse", "longpoll"]), { name: "sse", at: 1_000 });
    assert.equal(new Chooser().climb("websocket", 0, ["websocket"]), null);
  });

  it("what is forgiven is tried as if it were new", () => {
    const chooser = new Chooser();
    die(chooser, "websocket", 3);
    chooser.forget("websocket");
    assert.equal(chooser.isDemoted("websocket", 10), false);
  });

  it("what is known of the way goes on to the next page", () => {
    const chooser = new Chooser();
    chooser.proved("longpoll", 0);
    chooser.singleRequest = true;
    const next = new Chooser(JSON.parse(JSON.stringify(chooser)));
    assert.deepEqual(next.order(ALL, 0), ["longpoll", "websocket", "sse"]);
    assert.equal(next.singleRequest, true);
  });
});

/** A virtual network that breaks transports and mends them, and a client that does as the chooser says. */
function schedule(seed) {
  const random = randomOf(seed);
  const chooser = new Chooser();
  const works = new Set(["longpoll"]);
  let now = 0;
  let current = null;
  let since = 0;
  let mendedAt = 0;
  const race = () => {
    const order = chooser.order(ALL, now);
    assert.ok(order.length > 0, "there is always something to try");
    const winner = order.find((name) => works.has(name));
    if (!winner) return chooser.away(now, now + 1);
    for (const name of order.slice(0, order.indexOf(winner))) {
      if (ALL.indexOf(name) < ALL.indexOf(winner)) chooser.missed(name, "error", now - 1, now, random());
    }
    chooser.proved(winner, now);
    current = winner;
    since = now;
  };
  for (let step = 0; step < 600; step += 1) {
    now += random() * 2_000;
    if (random() < 0.05) {
      const name = ALL[Math.floor(random() * ALL.length)];
      if (works.has(name)) works.delete(name);
      else works.add(name);
      if (name === "websocket") mendedAt = now;
    }
    if (current && !works.has(current)) {
      chooser.died(current, random() < 0.5 ? "mute" : "closed", now - since, now, random());
      current = null;
    }
    if (!current) race();
    const next = current && chooser.climb(current, since, ALL);
    if (next && next.at <= now) {
      if (works.has(next.name)) {
        chooser.carried(current, now - since);
        chooser.proved(next.name, now);
        current = next.name;
        since = now;
      } else chooser.missed(next.name, "error", now - 1, now, random());
    }
    if (works.has("websocket") && current && current !== "websocket" && now - mendedAt > MINUTE) {
      assert.fail(`on ${current} a minute after WebSocket was mended`);
    }
  }
}

it("a minute after WebSocket was mended it is in use, for every schedule", () => {
  for (let run = 0; run < 500; run += 1) {
    const seed = SEED + run;
    try {
      schedule(seed);
    } catch (error) {
      error.message += ` (SEED=${seed})`;
      throw error;
    }
  }
});
