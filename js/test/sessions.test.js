// The bounds of a reopening: for how long a page is kept waiting, and how often a server is asked.

import assert from "node:assert/strict";
import { beforeEach, afterEach, describe, it, mock } from "node:test";
import { Sessions } from "../src/sessions.js";
import { SimulatedSession } from "./model/network.js";

const MINUTE = 60_000;
const frame = (...parts) => JSON.stringify(parts);

/** A server that a test plays. */
const server = { open: () => {}, close: () => {}, handle: (_, text) => server.heard.push(text), heard: [] };

/** A page with one kept channel, whose sessions are in `made`. */
function joined() {
  const page = { made: [], heard: [], told: [], ends: [], begun: [] };
  page.sessions = new Sessions({
    make: (on) => page.made[page.made.push(new SimulatedSession(server, on)) - 1],
    begin: (session, before) => {
      page.begun.push({ at: Date.now(), before });
      session.start();
    },
    on: {
      loggedIn: () => {},
      opened: () => {},
      changed: () => {},
      message: (text) => page.heard.push(text),
      told: (told) => page.told.push(told),
      over: ({ code }) => page.ends.push(code),
    },
    reopenMs: 30_000,
    retryMs: { min: 100, max: 2_000 },
  });
  page.sessions.start();
  page.made[0].open();
  page.sessions.send(frame("3", "3", "kept:a", "phx_join", { _since: "" }));
  page.hears = (text) => {
    page.made.at(-1).hears(text);
    page.made.at(-1).bring();
  };
  page.hears(frame("3", "3", "kept:a", "phx_reply", { status: "ok", response: { _at: "e:1", _recovered: true, _replayed: 0 } }));
  mock.timers.tick(MINUTE);
  return page;
}

describe("a session that is to be replaced", () => {
  beforeEach(() => {
    server.heard = [];
    mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
  });
  afterEach(() => mock.timers.reset());

  it("by one that says nothing is over after a while, as the one was that was lost", () => {
    const page = joined();
    page.made[0].lose(0, 0);
    mock.timers.tick(29_000);
    assert.deepEqual([page.ends, page.sessions.isReopening, page.made.length], [[], true, 2]);
    mock.timers.tick(2_000);
    assert.deepEqual([page.ends, page.made.length], [[4404], 2]);
  });

  it("by one that does not answer its join is open after a while, and its page is told of the gap", () => {
    const page = joined();
    page.made[0].lose(0, 0);
    mock.timers.tick(1);
    page.made[1].open();
    mock.timers.tick(31_000);
    assert.deepEqual(page.told, [{ type: "gap", topic: "kept:a", reason: "timeout" }]);
    assert.equal(page.heard.at(-1), frame("3", "3", "kept:a", "phx_error", {}));
    assert.deepEqual([page.ends, page.sessions.isReopening, page.sessions.reopens], [[], false, 1]);
    for (let n = 0; n < 2; n += 1) for (const deed of ["give", "arrive"]) page.made[1][deed]();
    assert.deepEqual(server.heard.map((text) => JSON.parse(text)[3]), ["phx_join", "phx_leave"]);
  });

  it("asks at once, and then ever more slowly, and says how the last one ended", () => {
    const page = joined();
    const lostAt = Date.now();
    page.made[0].lose(0, 0);
    for (let ms = 0; ms < 30_000; ms += 10) {
      mock.timers.tick(10);
      if (page.made.at(-1).isStarted) page.made.at(-1).miss({ code: 4503, isAway: true });
    }
    mock.timers.tick(2_000);
    const [first, ...others] = page.begun.slice(1);
    assert.ok(first.at - lostAt <= 10);
    assert.deepEqual(first.before, { code: 4404, reason: "unknown" });
    const pauses = others.map(({ at }, n) => at - (n ? others[n - 1].at : first.at));
    assert.ok(pauses[0] <= 130 && pauses.slice(5).every((ms) => ms >= 800 && ms <= 2_030), `${pauses}`);
    assert.deepEqual(page.ends, [4404]);
    assert.equal(page.made.at(-1).isOver, true);
  });

  it("by one that is lost at once is no reason to ask in a row", () => {
    const page = joined();
    page.made[0].lose(0, 0);
    for (let ms = 0; ms < 5_000; ms += 10) {
      mock.timers.tick(10);
      const session = page.made.at(-1);
      if (!session.isStarted || session.isOver) continue;
      session.open();
      page.hears(frame("3", "3", "kept:a", "phx_reply", { status: "ok", response: { _at: "e:1", _recovered: true, _replayed: 0 } }));
      session.lose(0, 0);
    }
    assert.ok(page.made.length < 20, `${page.made.length} sessions in five seconds`);
    assert.deepEqual(page.ends, []);
  });

  it("by one that the server does not want is over as that says", () => {
    const page = joined();
    page.made[0].lose(0, 0);
    mock.timers.tick(1);
    page.made[1].miss({ code: 4401, isError: true, isUnwanted: true });
    assert.deepEqual(page.ends, [4401]);
  });
});
