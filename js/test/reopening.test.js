// Sessions that are lost at any time below phoenix.js: whatever a page sees afterwards follows the laws in `joins.js`.

import assert from "node:assert/strict";
import { describe, it, mock } from "node:test";
import { World } from "./model/page.js";
import { SEED, randomOf } from "./support.js";

/** So many for each version of phoenix.js; SCHEDULES=20000 for a long run. */
const SCHEDULES = Number(process.env.SCHEDULES ?? 1_000);
const STEPS = 250;

/** How often what is done, out of all. */
const DEEDS = {
  give: 24,
  arrive: 24,
  bring: 24,
  publish: 12,
  say: 8,
  note: 3,
  ping: 1,
  open: 10,
  lose: 4,
  miss: 1,
  restart: 0.4,
  trim: 0.5,
  refuse: 0.4,
  crash: 0.5,
  join: 2,
  leave: 0.7,
  tick: 12,
  sleep: 0.2,
};

const deeds = {
  give: ({ session }) => session.give(),
  arrive: ({ session }) => session.arrive(),
  bring: ({ session }) => session.bring(),
  publish: ({ server }, topic) => server.publish(topic),
  say: (world, topic) => world.push(topic, "say"),
  note: (world, topic) => world.push(topic, "note"),
  ping: (world) => world.ping(),
  open: ({ session }) => session.isStarted && !session.token && !session.isOver && session.open(),
  lose: ({ session }, _, random) => session.token && session.lose(Math.floor(4 * random()), Math.floor(4 * random())),
  miss: ({ session }) => session.isStarted && !session.token && session.miss({ code: 1006, isError: true, isAway: true }),
  restart: ({ server, session }) => {
    server.forget();
    if (session.token) session.lose(0, 0);
  },
  trim: ({ server }, topic) => server.trim(topic),
  refuse: ({ server }, topic) => server.refuseNext(topic),
  crash: (world, topic) => world.crash(topic),
  join: (world, topic) => world.join(topic),
  leave: (world, topic) => world.leave(topic),
  tick: (_, __, random) => mock.timers.tick(Math.ceil(500 * random())),
  sleep: () => mock.timers.tick(40_000),
};

const total = Object.values(DEEDS).reduce((sum, weight) => sum + weight);

function choose(random) {
  let left = random() * total;
  return Object.keys(DEEDS).find((name) => (left -= DEEDS[name]) < 0) ?? "tick";
}

/** Lets all that is under way come to its end. */
function settle(world) {
  world.server.forgive();
  for (let round = 0; round < 200; round += 1) {
    deeds.open(world);
    for (let n = 0; n < 400 && !world.session.isIdle; n += 1) for (const deed of ["give", "arrive", "bring"]) deeds[deed](world);
    if (world.isWell) return;
    mock.timers.tick(1_000);
  }
  world.faults.push(`it does not come to rest: ${world.state}`);
}

/** One schedule: what was seen that should not be, and the counts. */
function run(Socket, seed) {
  const random = randomOf(seed);
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  try {
    const world = new World(Socket, random);
    for (let step = 0; step < STEPS; step += 1) {
      const topic = world.topics[Math.floor(random() * world.topics.length)];
      deeds[choose(random)](world, topic, random);
    }
    settle(world);
    mock.timers.tick(20_000);
    for (const topic of world.topics) world.server.publish(topic);
    settle(world);
    return { faults: world.finish(), counts: world.counts };
  } finally {
    mock.timers.reset();
  }
}

describe(`sessions that are lost below phoenix.js, SEED=${SEED}`, () => {
  for (const version of ["1.7.21", "1.8.16"]) {
    it(`pages with phoenix.js ${version} hear everything once, or of the gap`, async () => {
      const { Socket } = await import(`phoenix-${version}`);
      const sums = {};
      for (let n = 0; n < SCHEDULES; n += 1) {
        const { faults, counts } = run(Socket, SEED + n);
        assert.deepEqual(faults, [], `SEED=${SEED + n}`);
        for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count;
      }
      for (const what of ["recovered", "replayed", "over", "ok", "lost", "timeout", "epoch", "refused", "not_kept"]) {
        assert.ok(sums[what] > SCHEDULES / 50, `${what} hardly ever happened: ${JSON.stringify(sums)}`);
      }
    });
  }
});
