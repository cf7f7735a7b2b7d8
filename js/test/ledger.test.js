// Counting: the vectors, the bounds, and the laws over random schedules.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { Ledger } from "../src/ledger.js";
import { Breach } from "../src/lines.js";
import { SEED, randomOf } from "./support.js";

const vectors = JSON.parse(readFileSync(new URL("../../docs/sessions.json", import.meta.url)));
const BOUNDS = { keptFramesMax: 50, keptBytesMax: 1_000 };

const full = (ledger) => {
  while (ledger.append("x", 0));
  return ledger;
};

describe("ledger", () => {
  for (const { numbers, does } of vectors.counting.cases) {
    it(`takes ${numbers}`, () => {
      const ledger = new Ledger(BOUNDS);
      assert.deepEqual(numbers.map((number) => ledger.take(number, 0)), does);
    });
  }

  it("keeps frames until they are acknowledged", () => {
    const ledger = new Ledger(BOUNDS);
    for (const frame of ["a", "b", "c"]) ledger.append(frame, 0);
    ledger.acknowledge(2);
    assert.deepEqual([ledger.sent, ledger.acknowledged, ledger.bytes], [3, 2, 1]);
    assert.deepEqual(ledger.after(2), ["c"]);
    ledger.acknowledge(1);
    assert.deepEqual(ledger.after(2), ["c"], "old news change nothing");
    assert.throws(() => ledger.acknowledge(4), Breach);
  });

  it("takes no more frames than it may keep, and goes on once there is room", () => {
    const ledger = full(new Ledger(BOUNDS));
    assert.equal(ledger.sent, 50);
    ledger.acknowledge(1);
    assert.equal(ledger.append("x", 0), true);
    assert.equal(ledger.append("x", 0), false);
  });

  it("takes more than it may keep while the server takes some of it", () => {
    const ledger = new Ledger({ keptFramesMax: 10, keptBytesMax: 1_000, stallMs: 100 });
    const append = (count, now) => Array.from({ length: count }, () => ledger.append("x", now)).filter(Boolean).length;
    assert.equal(append(30, 1_000), 30);
    assert.equal(append(10, 1_099), 10);
    assert.equal(append(1, 1_100), 0, "for so long it took nothing");
    ledger.acknowledge(1, 1_150);
    assert.equal(append(10, 1_249), 10);
    ledger.acknowledge(1, 1_249);
    assert.equal(append(1, 1_250), 0, "old news are no progress");
    ledger.moved(1_300);
    assert.equal(append(1_000, 1_301), 160 - 49, "sixteen times as much is the end");
    assert.equal(ledger.bytesAfter(150), 11);
    ledger.acknowledge(161, 2_000);
    assert.equal(append(1, 9_000), 1, "where nothing waited there was nothing to take");
    assert.equal(append(20, 9_001), 20);
  });

  it("takes one frame more than its bytes, however large", () => {
    const ledger = new Ledger(BOUNDS);
    assert.equal(ledger.append(new ArrayBuffer(5_000), 0), true);
    assert.equal(ledger.append("", 0), false);
  });

  it("counts the bytes of frames, which are more than their characters", () => {
    const ledger = new Ledger(BOUNDS);
    for (const frame of ["中".repeat(300), "é", "😀".repeat(30)]) assert.equal(ledger.append(frame, 0), true);
    assert.deepEqual([ledger.bytes, ledger.firstBytes], [900 + 2 + 120, 900]);
    assert.equal(ledger.append("x", 0), false, "it is full");
    assert.deepEqual(ledger.after(0, 100, 901).length, 1);
    assert.deepEqual(ledger.after(0, 100, 902).length, 2);
    ledger.acknowledge(1);
    assert.deepEqual([ledger.bytes, ledger.firstBytes], [122, 2]);
  });

  it("gives out what fits into a request, and a large frame alone", () => {
    const ledger = new Ledger(BOUNDS);
    for (const size of [10, 10, 500, 10]) ledger.append("x".repeat(size), 0);
    assert.deepEqual(ledger.after(0, 100, 25).map((frame) => frame.length), [10, 10]);
    assert.deepEqual(ledger.after(2, 100, 25).map((frame) => frame.length), [500]);
    assert.deepEqual(ledger.after(0, 1, 25).length, 1);
    assert.deepEqual(ledger.after(4), []);
  });

  it("an acknowledgement is due after 32 frames or two seconds", () => {
    const ledger = new Ledger(BOUNDS);
    assert.equal(ledger.tellAt(), Infinity);
    ledger.take(1, 100);
    ledger.take(2, 900);
    assert.equal(ledger.tellAt(), 2_100);
    for (let number = 3; number <= 32; number += 1) ledger.take(number, 1_000);
    assert.equal(ledger.tellAt(), -Infinity);
    assert.equal(ledger.tell(), 32);
    assert.equal(ledger.tellAt(), Infinity);
  });

  it("an acknowledgement is due after 256 KiB, however few frames they are", () => {
    const ledger = new Ledger(BOUNDS);
    ledger.take(1, 100, 200 * 1024);
    assert.equal(ledger.tellAt(), 2_100);
    ledger.take(2, 100, 56 * 1024);
    assert.equal(ledger.tellAt(), -Infinity);
    ledger.tell();
    ledger.take(3, 200, 100 * 1024);
    ledger.take(3, 200, 1024 * 1024);
    assert.equal(ledger.tellAt(), 2_200, "what was dropped does not count");
  });

  it("knows since when the oldest frame waits", () => {
    const ledger = new Ledger(BOUNDS);
    assert.equal(ledger.unacknowledgedSince, Infinity);
    ledger.append("a", 5);
    ledger.append("b", 7);
    ledger.acknowledge(1);
    assert.equal(ledger.unacknowledgedSince, 7);
  });
});

/**
 * Two ledgers with a network between them that loses, repeats and delays what is sent, and resumes at random. A sender may
 * repeat whatever is not acknowledged, numbered as it was.
 */
function schedule(seed) {
  const random = randomOf(seed);
  const sides = [0, 1].map(() => ({ ledger: new Ledger(BOUNDS), said: [], heard: [] }));
  let network = [];
  const deeds = [
    (side) => {
      const frame = `${side.said.length}`;
      if (side.ledger.append(frame, 0)) side.said.push(frame);
    },
    (side, to) => {
      const first = side.ledger.acknowledged + 1;
      side.ledger.after(first - 1).forEach((frame, at) => network.push({ to, number: first + at, frame }));
    },
    (side, to) => network.push({ to, acknowledged: side.ledger.tell() }),
    () => {
      // An attachment ends: a tail of what is under way is lost.
      network = network.slice(0, Math.floor(random() * network.length));
    },
    () => {
      const packet = network[Math.floor(random() * network.length)];
      if (packet) network.push(packet);
    },
  ];
  const deliver = ({ to, number, frame, acknowledged }) => {
    const side = sides[to];
    if (acknowledged !== undefined) side.ledger.acknowledge(acknowledged);
    else if (side.ledger.take(number, 0) === "take") side.heard.push(frame);
  };
  for (let step = 0; step < 400; step += 1) {
    const from = Math.floor(random() * 2);
    deeds[Math.floor(random() * deeds.length)](sides[from], 1 - from);
    if (random() < 0.5 && network.length) deliver(network.splice(random() < 0.8 ? 0 : Math.floor(random() * network.length), 1)[0]);
    for (const { ledger, said, heard } of sides) {
      const other = sides.find((side) => side.ledger !== ledger);
      assert.deepEqual(heard, other.said.slice(0, heard.length), "in order and once");
      assert.equal(ledger.sent, said.length);
      assert.ok(ledger.sent - ledger.acknowledged <= BOUNDS.keptFramesMax, "bounded");
      assert.ok(ledger.acknowledged <= other.ledger.received, "nothing is forgotten that the other side lacks");
    }
  }
  // A last resume without losses brings everything across.
  sides.forEach((side, at) => {
    const other = sides[1 - at];
    const has = other.ledger.received;
    side.ledger.acknowledge(has);
    side.ledger.after(has).forEach((frame, n) => deliver({ to: 1 - at, number: has + 1 + n, frame }));
    assert.deepEqual(other.heard, side.said, "nothing lost");
  });
}

it("the laws hold for every schedule", () => {
  for (let run = 0; run < 300; run += 1) {
    const seed = SEED + run;
    try {
      schedule(seed);
    } catch (error) {
      error.message += ` (SEED=${seed})`;
      throw error;
    }
  }
});
