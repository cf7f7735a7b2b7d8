// The interval of the signs of life, as it is learned.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Beat } from "../src/beat.js";

const MINUTE = 60_000;

describe("beat", () => {
  it("starts as it is told and gets rarer where nothing kills, up to half the window", () => {
    const beat = new Beat(25_000, 0);
    assert.equal(beat.ms(0, MINUTE), 25_000);
    assert.equal(beat.ms(10 * MINUTE, MINUTE), 30_000);
    assert.equal(beat.ms(70 * MINUTE, 10 * MINUTE), 5 * MINUTE);
  });

  it("halves the silence that killed, and not below five seconds", () => {
    const beat = new Beat(25_000, 0);
    beat.killed(20_000, 1_000);
    assert.equal(beat.ms(1_000), 10_000);
    beat.killed(6_000, 2_000);
    assert.equal(beat.ms(2_000), 5_000);
  });

  it("learns nothing from a death in the middle of traffic", () => {
    const beat = new Beat(25_000, 0);
    beat.killed(300, 1_000);
    assert.equal(beat.ms(1_000), 25_000);
  });

  it("a proxy that kills after 20 s does so once in ten minutes, and once in an hour", () => {
    const limit = 20_000;
    const beat = new Beat(25_000, 0);
    const deaths = [];
    for (let now = 0; now < 59 * MINUTE; now += Math.min(limit, beat.ms(now, MINUTE))) {
      if (beat.ms(now, MINUTE) < limit) continue;
      deaths.push(now);
      beat.killed(limit, now + limit);
    }
    assert.equal(deaths.length, 1);
  });

  it("what was learned is kept", () => {
    const beat = new Beat(25_000, 0);
    beat.killed(20_000, 1_000);
    const saved = JSON.parse(JSON.stringify(beat));
    assert.equal(new Beat(25_000, 5_000, saved).ms(5_000), 10_000);
    const untouched = JSON.parse(JSON.stringify(new Beat(25_000, 0)));
    assert.equal(new Beat(15_000, 0, untouched).ms(0), 25_000);
  });
});
