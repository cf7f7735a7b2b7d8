// When an attachment is asked, and when it is given up.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Watch } from "../src/watch.js";

const OPTIONS = { quietMs: 1_500, patienceMs: 1_500 };
const BEAT = 25_000;

function started() {
  const watch = new Watch(OPTIONS);
  watch.start(0, BEAT);
  return watch;
}

/** Frames at these times. */
function framed(watch, ...times) {
  for (const time of times) {
    watch.heard(time);
    watch.framed(time);
  }
}

const look = (watch, now, since = Infinity) => watch.look(now, now, since);

describe("watch", () => {
  it("leaves an idle attachment alone until the server's sign of life is late", () => {
    const watch = started();
    assert.equal(watch.lookAt(Infinity), BEAT + 1_000);
    assert.equal(look(watch, 20_000), "well");
    assert.equal(look(watch, 26_000), "ask");
  });

  it("asks a busy stream that falls silent, once", () => {
    const watch = started();
    framed(watch, 1_000, 1_100, 1_200);
    assert.equal(look(watch, 2_600), "well");
    assert.equal(look(watch, 2_700), "ask");
    watch.asked(2_700);
    watch.heard(2_750);
    watch.answered(2_750);
    assert.equal(watch.rtt, 50);
    assert.equal(look(watch, 10_000), "well");
  });

  it("does not ask after a frame here and there", () => {
    const watch = started();
    framed(watch, 1_000, 8_000);
    assert.equal(look(watch, 12_000), "well");
  });

  it("asks when something is not acknowledged, and not in a row", () => {
    const watch = started();
    assert.equal(look(watch, 3_000, 2_000), "well");
    assert.equal(look(watch, 3_500, 2_000), "ask");
    watch.asked(3_500);
    watch.answered(3_600);
    assert.equal(look(watch, 3_700, 2_000), "well");
    assert.equal(look(watch, 5_100, 2_000), "ask");
  });

  it("gives up without an answer, within three seconds of the silence", () => {
    const watch = started();
    framed(watch, 0, 100);
    watch.asked(1_600);
    assert.equal(watch.lookAt(Infinity), 3_100);
    assert.equal(look(watch, 3_000), "well");
    assert.equal(look(watch, 3_100), "dead");
  });

  it("waits twice as long while other traffic comes, but no longer: what we say may be swallowed", () => {
    const watch = started();
    watch.asked(1_000);
    for (let now = 1_100; now < 4_000; now += 100) {
      framed(watch, now);
      assert.equal(look(watch, now), "well");
    }
    assert.equal(look(watch, 4_000), "dead");
  });

  it("waits longer for those who are far away", () => {
    const watch = started();
    watch.asked(0);
    watch.answered(1_000);
    assert.equal(watch.patienceMs, 4_000);
  });

  it("gives twice the time after each strike, up to a bound, and all is forgiven with an answer", () => {
    const watch = started();
    const patience = [];
    for (let strike = 0; strike < 6; strike += 1) {
      watch.start(0, BEAT);
      watch.asked(0);
      patience.push(watch.patienceMs);
      assert.equal(look(watch, watch.patienceMs), "dead");
    }
    assert.deepEqual(patience, [1_500, 3_000, 6_000, 12_000, 15_000, 15_000]);
    watch.start(0, BEAT);
    watch.asked(0);
    watch.answered(10);
    assert.equal(watch.patienceMs, 1_500);
  });

  it("concludes nothing out of sleep, but asks anew, once", () => {
    const watch = started();
    watch.asked(1_000);
    assert.equal(watch.look(3_600_000, 2_500, Infinity), "ask");
    watch.asked(3_600_000);
    assert.equal(watch.idleMs(3_600_000), 0, "sleep is not idleness");
    assert.equal(watch.look(3_660_000, 3_601_500, Infinity), "dead");
  });

  it("takes a server that is busy for alive, and does not ask what it would not read", () => {
    const watch = started();
    assert.equal(look(watch, 3_600, 2_000), "ask");
    watch.asked(3_600);
    for (let now = 4_600; now < 60_000; now += 1_000) {
      watch.heard(now);
      watch.busy(now);
      assert.equal(look(watch, now + 999, 2_000), "well");
    }
    watch.answered(60_000);
    watch.busy(60_500);
    assert.equal(look(watch, 61_900, 2_000), "well");
    assert.equal(look(watch, 62_000, 2_000), "ask", "and when it is not busy any more");
  });

  it("an attachment that moves bytes is not dead", () => {
    const watch = started();
    watch.asked(0);
    watch.extend(1_500);
    assert.equal(look(watch, 2_900), "well");
    assert.equal(look(watch, 3_000), "dead");
  });

  it("what was suspected is asked at once", () => {
    const watch = started();
    watch.suspect(5_000);
    assert.equal(look(watch, 5_000), "ask");
  });

  it("knows for how long nothing went either way", () => {
    const watch = started();
    framed(watch, 1_000);
    watch.said(2_000);
    assert.equal(watch.idleMs(22_000), 20_000);
    watch.asked(12_000);
    assert.equal(watch.idleMs(13_500), 10_000, "up to the question");
  });
});
