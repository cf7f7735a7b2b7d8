// Wall clocks that are set, and machines that sleep.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import WebSocket from "ws";
import { Clock } from "../src/clock.js";
import { Lapwing } from "../src/index.js";
import { startFaults } from "../../faults/client.js";
import { startProxy } from "../../tests/clients/support/proxy.js";
import { startTestbed } from "../../tests/clients/support/testbed.js";
import { until, within } from "../../tests/clients/support/wait.js";
import { SEED, randomOf } from "./support.js";

const HOUR = 3_600_000;

describe("clock", () => {
  const started = () => {
    const time = { wall: 1_000_000, steady: 50 };
    return { time, clock: new Clock(() => time.wall, () => time.steady) };
  };
  const pass = (time, ms) => Object.assign(time, { wall: time.wall + ms, steady: time.steady + ms });

  it("begins with the wall's time and goes on as time does", () => {
    const { time, clock } = started();
    assert.equal(clock.now(), 1_000_000);
    pass(time, 70);
    assert.equal(clock.now(), 1_000_070);
  });

  it("does not go back with the wall, and goes on from there", () => {
    const { time, clock } = started();
    time.wall -= HOUR;
    assert.equal(clock.now(), 1_000_000);
    pass(time, 1_500);
    assert.equal(clock.now(), 1_001_500);
  });

  it("counts a sleep, in which the steady clock stands", () => {
    const { time, clock } = started();
    time.wall += HOUR;
    pass(time, 20);
    assert.equal(clock.now(), 1_000_020 + HOUR);
  });

  it(`never goes back, nor ahead of both, and small steps add up to nothing (SEED=${SEED})`, () => {
    const random = randomOf(SEED);
    const { time, clock } = started();
    let [last, slept] = [clock.now(), 0];
    for (let step = 0; step < 10_000; step += 1) {
      // Clocks are coarse, and the wall's is corrected all the time.
      time.steady += random();
      time.wall = Math.floor(1_000_000 - 50 + slept + time.steady + 100 * random());
      if (random() < 0.001) slept += Math.floor(random() * HOUR);
      const now = clock.now();
      assert.ok(now >= last);
      last = now;
    }
    assert.ok(Math.abs(last - time.wall) < 1_000, `${last - time.wall} ms ahead`);
  });
});

describe("a session whose clock is set", () => {
  let testbed;
  const { now } = Date;
  before(async () => (testbed = await startTestbed()));
  after(() => testbed.stop());

  const setClock = (ms) => (Date.now = () => now() + ms);

  async function asked(port, test) {
    const session = new (Lapwing.with({ WebSocket, storage: null }))(`ws://127.0.0.1:${port}/socket?vsn=2.0.0`);
    const answered = new Set();
    const ends = [];
    session.onmessage = ({ data }) => answered.add(JSON.parse(data)[1]);
    session.onclose = ({ code, reason }) => ends.push(`${code} ${reason}`);
    await within("the session", new Promise((resolve) => (session.onopen = resolve)));
    const ask = async (ref) => {
      session.send(JSON.stringify([null, ref, "phoenix", "heartbeat", {}]));
      await until(`the answer to ${ref}`, () => answered.has(ref) || ends.length);
      assert.deepEqual(ends, []);
    };
    try {
      await ask("0");
      await test({ session, ask, ends });
    } finally {
      Date.now = now;
      session.close();
    }
  }

  it("back by an hour notices an attachment that is mute", async () => {
    const faults = await startFaults(testbed.port);
    await asked(faults.port, async ({ ask }) => {
      setClock(-HOUR);
      await faults.set(["half_open"]);
      setTimeout(() => faults.set([]), 100);
      await ask("1");
    });
    await faults.stop();
  });

  it("forward by five minutes lasts through a network that is away for a moment", async () => {
    const proxy = await startProxy(testbed.port);
    await asked(proxy.port, async ({ session, ask, ends }) => {
      proxy.down();
      await until("the loss", () => session.status().state === "resuming");
      setClock(HOUR / 12);
      const { length } = session.status().failures;
      await until("attempts in vain", () => session.status().failures.length >= length + 5 || ends.length);
      proxy.up();
      await ask("1");
      assert.equal(session.status().resumes >= 1, true);
    });
    await proxy.stop();
  });
});
