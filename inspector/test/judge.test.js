// The judgement over what a page may have seen.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FINDING_IDS, finding, spell } from "../web/findings.js";
import { heldBytes, judge } from "../web/judge.js";

const FIRST = [[0, 40], [250, 40], [500, 2_048], [750, 40], [1_000, 40], [1_200, 40]].map(([at, bytes]) => ({ at, bytes }));

/** What a page sees where everything passes, with some of it changed. */
function seen(changes = {}) {
  return {
    version: 1, about: { http: "1.1", isForwarded: false }, arrived: { upgrades: 3, stripped: 0, posts: 33, streamsBegun: 3, streamsOpen: 0 },
    gets: requests(90), posts: requests(33), trips: [2, 3, 3, 4, 9], rate: 16_000_000,
    websockets: [websocket("first", { age: 40 }), websocket("steady"), websocket("silent", { echoes: 1 })],
    streams: [stream("first"), steady()],
    holds: [{ at: 3_000, ms: 5_010, how: "ok" }], bodies: [{ bytes: 1_200_000, how: "ok" }],
    beside: { websocket: true, streams: [true] }, ms: 9_000,
    ...changes,
  };
}

const requests = (count, how = "ok", ms = 5) => Array.from({ length: count }, (_, n) => ({ at: 10 * n, ms, how }));
const websocket = (role, changes = {}) => ({ role, at: 2_500, opened: 8, echoes: 20, end: "kept", age: 6_500, ...changes });
const refused = (end) => [websocket("first", { opened: null, echoes: 0, end, age: end === "swallowed" ? 3_500 : 9 })];
const steady = (changes = {}) => ({ role: "steady", at: 2_500, plan: FIRST, head: 3, reads: [], pieces: 26, end: "whole", age: 6_500, ...changes });

/** A stream whose bytes came at these times. */
function stream(role, reads = FIRST.map(({ at }) => at + 4), changes = {}) {
  return { role, at: 300, plan: FIRST, head: reads[0] ?? 3, reads: reads.map((at) => ({ at, bytes: 40 })), pieces: reads.length, end: "whole", age: 1_210, ...changes };
}

const ids = (changes) => judge(seen(changes)).map(({ id }) => id);

describe("the judgement", () => {
  it("finds nothing where everything passes, though late once", () => {
    assert.deepEqual(ids(), []);
    assert.deepEqual(ids({ gets: [...requests(80), ...requests(1, "error")], posts: [...requests(30), ...requests(2, "error")] }), []);
    assert.deepEqual(ids({ trips: [2, 3, 900, 900, 900] }), []);
    const late = [stream("first", [700, 701, 702, 755, 1_004, 1_204]), stream("first"), steady()];
    assert.deepEqual(ids({ streams: late }), []);
    assert.deepEqual(ids({ beside: { websocket: true, streams: [false, true] } }), []);
  });

  it("tells what becomes of WebSockets", () => {
    const arrived = (upgrades, stripped = 0) => ({ ...seen().arrived, upgrades, stripped });
    assert.deepEqual(ids({ websockets: refused("refused"), arrived: arrived(0) }), ["upgrade_refused"]);
    assert.deepEqual(ids({ websockets: refused("refused"), arrived: arrived(0, 1) }), ["upgrade_stripped"]);
    assert.deepEqual(ids({ websockets: refused("swallowed"), arrived: arrived(0) }), ["upgrade_swallowed"]);
    assert.deepEqual(ids({ websockets: refused("refused"), arrived: arrived(1) }), ["websocket_killed"]);
    assert.deepEqual(ids({ websockets: refused("refused"), arrived: arrived(0), servers: 2 }), ["websocket_fails"], "another one may know more");
    assert.deepEqual(ids({ websockets: refused("refused"), arrived: arrived(0, 1), servers: 2 }), ["upgrade_stripped"]);
    assert.deepEqual(ids({ websockets: [websocket("first", { echoes: 0, end: "mute" })] }), ["websocket_mute"]);
    assert.deepEqual(ids({ websockets: [websocket("first", { echoes: 0, end: "closed", age: 9 })] }), ["websocket_killed"]);
  });

  it("tells by what connections end", () => {
    const dying = (age) => [0, 1, 2].map((n) => websocket("steady", { at: 2_500 + 600 * n, end: "closed", age, echoes: 2 }));
    const cut = (age) => [0, 1, 2].map((n) => steady({ at: 2_500 + 600 * n, end: "cut", age, pieces: 2 }));
    const first = [websocket("first"), stream("first")];
    assert.deepEqual(ids({ websockets: [first[0], ...dying(310)], streams: [first[1], ...cut(300)] }), ["connections_killed"]);
    assert.deepEqual(ids({ websockets: [first[0], ...dying(310)] }), ["websocket_killed"]);
    assert.deepEqual(ids({ streams: [first[1], ...cut(2_000)] }), ["responses_cut"]);
    const silent = [websocket("first"), websocket("steady"), websocket("silent", { end: "closed", age: 2_010, echoes: 1 })];
    const [found] = judge(seen({ websockets: silent, holds: [{ at: 2_500, ms: 2_020, how: "error" }] }));
    assert.deepEqual([found.id, spell(found.ms)], ["idle_killed", "2 s"]);
  });

  it("tells a network that was away from one that cuts, and from one that forgets", () => {
    const away = {
      websockets: [websocket("steady", { end: "closed", age: 1_500 }), websocket("steady", { at: 5_000, age: 4_000 })],
      streams: [stream("first"), steady({ end: "cut", age: 1_510 }), steady({ at: 5_010, age: 3_900 })],
      gets: [...requests(80), { at: 4_200, ms: 3, how: "error" }, { at: 4_300, ms: 3, how: "error" }],
    };
    const [found, ...others] = judge(seen(away));
    assert.deepEqual([found.id, found.ms, others], ["interrupted", 1_008, []]);
    const forgotten = [websocket("steady", { end: "silent", age: 4_500 }), websocket("steady", { at: 7_200, age: 1_800 })];
    assert.deepEqual(ids({ websockets: forgotten }), ["connections_forgotten"]);
  });

  it("tells what becomes of answers and event streams", () => {
    const mute = { head: 4, reads: [], pieces: 0, end: "silent" };
    assert.deepEqual(ids({ streams: [stream("first", [], mute), stream("first", [], mute)] }), ["stream_mute"]);
    const whole = [1_204, 1_204];
    const large = (reads) => ({ ...stream("large", reads), plan: [{ at: 0, bytes: 70_000 }, { at: 300, bytes: 40 }, { at: 900, bytes: 40 }] });
    const kbOf = (streams) => judge(seen({ streams })).map(({ id, kb }) => [id, kb]);
    assert.deepEqual(kbOf([stream("first", whole), stream("first", whole), large([905])]), [["held_back", undefined]]);
    assert.deepEqual(kbOf([stream("first", whole), stream("first", whole), large([5, 303, 904])]), [["held_back", 64]]);
    const some = [502, 752, 1_001, 1_203];
    assert.deepEqual(kbOf([stream("first", some), stream("first", some)]), [["held_back", 1]]);
    assert.equal(heldBytes(stream("first")), 0);
    const far = stream("first", FIRST.map(({ at }) => at + 430));
    assert.deepEqual(kbOf([far, far]), [["held_back", 1]]);
    assert.equal(heldBytes(far, 420), 0);
  });

  it("tells answers that are lost from such that are lost to POSTs", () => {
    assert.deepEqual(ids({ gets: [...requests(80), ...requests(9, "error")] }), ["responses_dropped"]);
    assert.deepEqual(ids({ posts: [...requests(20), ...requests(10, "error")] }), ["post_replies_dropped"]);
    assert.deepEqual(ids({ posts: requests(3, "silent", 2_500), bodies: [] }), ["post_replies_swallowed"]);
    assert.deepEqual(ids({ posts: requests(3, "silent", 2_500), bodies: [], arrived: { ...seen().arrived, posts: 0 } }), ["posts_swallowed"]);
    assert.deepEqual(ids({ bodies: [{ bytes: 1_200_000, how: "status 413" }] }), ["bodies_refused"]);
    assert.deepEqual(ids({ bodies: [{ bytes: 1_200_000, how: "error" }, { bytes: 1_200_000, how: "ok" }] }), []);
  });

  it("tells one thing at a time, an old proxy, a long way and a narrow line", () => {
    assert.deepEqual(ids({ beside: { websocket: false, streams: [] } }), ["one_at_a_time"]);
    assert.deepEqual(ids({ beside: { websocket: true, streams: [false, false] } }), ["one_at_a_time"]);
    assert.deepEqual(ids({ about: { http: "1.0" } }), ["http10"]);
    assert.deepEqual(ids({ trips: [310, 290, 350, 420, 280] }), ["slow"]);
    assert.deepEqual(ids({ rate: 8_100 }), ["throttled"]);
    assert.deepEqual(ids({ about: null, gets: requests(3, "silent"), posts: [] }), ["unreachable"]);
  });

  it("has words for all", () => {
    for (const id of FINDING_IDS) {
      const { title, text, remedy } = finding(id, { ms: 300, kb: 8, percent: 10, how: "HTTP 413" });
      for (const words of [title, text, remedy]) assert.ok(words && !/undefined|NaN/.test(words), `${id}: ${words}`);
    }
  });
});
