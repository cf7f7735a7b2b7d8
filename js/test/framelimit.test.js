// How much goes at once after something was refused.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FrameLimit, isLasting } from "../src/framelimit.js";
import { SEED, randomOf } from "./support.js";

describe("frame limit", () => {
  it("is none at first, and after one loss or two", () => {
    const limit = new FrameLimit();
    for (let n = 0; n < 2; n += 1) assert.equal(limit.failed(1, 10, "closed"), false);
    assert.equal(limit.max, Infinity);
  });

  it("wants the way proven without frames after a refusal, then one goes alone, then ever more", () => {
    const limit = new FrameLimit();
    limit.failed(1, 10, "http 413");
    assert.equal(limit.max, 0);
    limit.acknowledged(0);
    assert.equal(limit.max, 0);
    limit.proven();
    const seen = [];
    for (let number = 1; number <= 10; number += 1) {
      seen.push(limit.max);
      limit.acknowledged(number);
    }
    assert.deepEqual(seen, [1, 2, 4, 8, 16, 32, 64, 128, 256, Infinity]);
  });

  it("gives up a frame that is too large at once, one that is refused otherwise the second time", () => {
    assert.equal(new FrameLimit().failed(1, 1, "http 413"), true);
    assert.equal(new FrameLimit().failed(1, 1, "closed 1009"), true);
    assert.equal(new FrameLimit().failed(1, 2, "http 413"), false, "any of the two may be it");
    const limit = new FrameLimit();
    assert.equal(limit.failed(1, 1, "http 403"), false);
    limit.proven();
    assert.equal(limit.failed(1, 1, "http 403"), true);
  });

  it("gives up a frame over which ten connections were lost, and no other", () => {
    const limit = new FrameLimit();
    for (let n = 0; n < 9; n += 1) assert.equal(limit.failed(1, 1, "closed"), false);
    assert.equal(limit.max, 0);
    limit.proven();
    limit.acknowledged(1);
    for (let n = 0; n < 9; n += 1) assert.equal(limit.failed(2, 1, "closed"), false);
    assert.equal(limit.failed(2, 1, "closed"), true);
  });

  it("holds nothing against frames that the server has read and does not take yet", () => {
    const limit = new FrameLimit();
    for (let n = 0; n < 30; n += 1) {
      assert.equal(limit.failed(1, 1, "silent"), false);
      if (n % 5 === 4) limit.read();
    }
    assert.ok(limit.patienceMs > 5_000, "it is given the time to say so");
  });

  it("knows what a repeat cannot change", () => {
    for (const how of ["http 400", "http 403", "http 413", "http 431", "closed 1009"]) assert.ok(isLasting(how), how);
    for (const how of ["http 408", "http 425", "http 429", "http 500", "http 503", "closed", "closed 1001", "closed 4002", "silent", "error"]) {
      assert.ok(!isLasting(how), how);
    }
  });
});

/** A client with frames to send through a box that refuses one of them, or none. Requests that it takes. */
function send(frames, bad, how, chance) {
  const limit = new FrameLimit();
  let acknowledged = 0;
  let losses = 0;
  for (let requests = 1; ; requests += 1) {
    if (acknowledged === frames) return { acknowledged, requests, isOver: false };
    const first = acknowledged + 1;
    const count = Math.min(limit.max, frames - acknowledged);
    if (count === 0) limit.proven();
    else if (losses < 4 && chance() < 0.2) {
      // The network's own, never many in a row.
      losses += 1;
      const isOver = limit.failed(first, count, "error");
      if (isOver) return { acknowledged, requests, isOver };
    } else if (first <= bad && bad < first + count) {
      if (limit.failed(first, count, how)) return { acknowledged, requests, isOver: true };
    } else {
      acknowledged += count;
      losses = 0;
      limit.acknowledged(acknowledged);
    }
    assert.ok(requests < 400, "it goes on for ever");
  }
}

it("what comes before a frame that is refused arrives, and the frame is given up soon, for every schedule", () => {
  for (let run = 0; run < 2_000; run += 1) {
    const random = randomOf(SEED + run);
    const frames = 1 + Math.floor(random() * 300);
    const bad = 1 + Math.floor(random() * frames);
    const how = ["http 413", "http 403", "closed 1009", "closed"][run % 4];
    const given = `SEED=${SEED + run}: ${frames} frames, ${bad} is bad, ${how}`;
    const { acknowledged, isOver } = send(frames, bad, how, random);
    assert.deepEqual([acknowledged, isOver], [bad - 1, true], given);
    const good = send(frames, Infinity, how, random);
    assert.deepEqual([good.acknowledged, good.isOver], [frames, false], given);
  }
});
