// What a page has joined, frame by frame: its bounds, and the shapes of messages that schedules do not have.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Joins } from "../src/joins.js";
import { headOfReceived, headOfSent, payloadOf } from "../src/messages.js";

const frame = (...parts) => JSON.stringify(parts);
const ok = (ref, topic, response = {}) => frame(ref, ref, topic, "phx_reply", { status: "ok", response });

/** As phoenix.js makes the bytes of a message. */
function bytes(kind, names, payload = Uint8Array.of(1, 2)) {
  const encoder = new TextEncoder();
  const parts = names.map((name) => encoder.encode(name));
  return Uint8Array.from([kind, ...parts.map(({ length }) => length), ...parts.flatMap((part) => [...part]), ...payload]).buffer;
}

/** A page that has joined a topic that is kept. */
function joined(at = "e:7") {
  const joins = new Joins();
  joins.handleSent(frame("3", "3", "kept:a", "phx_join", { own: 1, _since: "" }));
  assert.equal(joins.handleReceived(ok("3", "kept:a", { _at: at, _recovered: true, _replayed: 0 })), null);
  return joins;
}

describe("the names in a message", () => {
  it("are read from texts, whatever is in them", () => {
    for (const names of [["3", "4", "room:a", "say"], [null, null, "a,\"b\"]\\", "ü\n"], ["", "1", "", "x"]]) {
      const [joinRef, ref, topic, event] = names;
      const text = frame(...names, { "],[": ["\\", '"'] });
      assert.deepEqual(headOfSent(text), { joinRef, ref, topic, event });
      assert.deepEqual(headOfReceived(text), { joinRef, ref, topic, event });
      assert.deepEqual(payloadOf(text), { "],[": ["\\", '"'] });
    }
  });

  it("are read from bytes of every kind", () => {
    const names = { joinRef: "3", ref: "4", topic: "röm", event: "say" };
    assert.deepEqual(headOfSent(bytes(0, Object.values(names))), names);
    assert.deepEqual(headOfReceived(bytes(0, ["3", "röm", "said"])), { joinRef: "3", ref: null, topic: "röm", event: "said" });
    assert.deepEqual(headOfReceived(bytes(1, ["3", "4", "röm", "ok"])), { ...names, event: "phx_reply", status: "ok" });
    assert.deepEqual(headOfReceived(bytes(2, ["röm", "said"])), { joinRef: null, ref: null, topic: "röm", event: "said" });
  });

  it("are missing from everything else", () => {
    for (const other of ["", "[]", '{"topic":"a","event":"b"}', '[1,"2","a","b",{}]', '["1","2","a"', new ArrayBuffer(0), bytes(9, ["x"])]) {
      assert.equal(headOfSent(other), null);
      assert.equal(headOfReceived(other), null);
    }
  });

  it("take no longer where a text is large and no message", () => {
    const started = performance.now();
    headOfReceived(`["${"\\\\a".repeat(3_000_000)}`);
    assert.ok(performance.now() - started < 10_000);
  });
});

describe("a join of a session that is lost", () => {
  it("asks for what followed its last message, with the params of the page", () => {
    const joins = joined();
    joins.handleReceived(frame(null, "@8", "kept:a", "said", {}));
    joins.handleReceived(bytes(2, ["kept:a", "drawn"]));
    joins.handleReceived(frame(null, "@9", "kept:a", "_at", {}));
    const { send, deliver, tell, ownCount } = joins.handleLost([]);
    assert.deepEqual(send, [frame("3", "3", "kept:a", "phx_join", { own: 1, _since: "e:9" })]);
    assert.deepEqual([deliver, tell, ownCount, joins.isSettled, joins.isKept], [[], [], 1, false, true]);
    const answer = joins.handleReceived(ok("3", "kept:a", { _at: "e:9", _recovered: true, _replayed: 2 }));
    assert.deepEqual(answer, { send: [], deliver: [], tell: [{ type: "recovered", topic: "kept:a", replayed: 2 }] });
    assert.equal(joins.isSettled, true);
  });

  it("is made once more as it was if it had no answer yet, and that answer is the page's", () => {
    const joins = joined();
    const again = frame("8", "8", "room:a", "phx_join", { own: 2 });
    joins.handleSent(again);
    assert.deepEqual(joins.handleLost([again]).send.slice(1), [again], "once");
    assert.deepEqual(joins.handleLost([]).send.slice(1), [again]);
    assert.equal(joins.handleReceived(ok("8", "room:a")), null);
  });

  it("is left if it has a gap, and nothing that it hears is handed on", () => {
    const joins = joined();
    joins.handleLost([]);
    const { send, deliver, tell } = joins.handleReceived(ok("3", "kept:a", { _at: "f:1", _recovered: false, _reason: "epoch" }));
    assert.deepEqual(tell, [{ type: "gap", topic: "kept:a", reason: "epoch" }]);
    assert.deepEqual(deliver, [frame("3", "3", "kept:a", "phx_error", {})]);
    assert.deepEqual(send, [frame("3", "lapwing:3", "kept:a", "phx_leave", {})]);
    joins.handleSent(frame("8", "8", "kept:a", "phx_join", { _since: "e:7" }));
    for (const stray of [
      frame(null, "@2", "kept:a", "said", {}),
      frame("3", null, "kept:a", "pushed", {}),
      ok("lapwing:3", "kept:a"),
      frame("3", "3", "kept:a", "phx_close", {}),
    ]) {
      assert.deepEqual(joins.handleReceived(stray), { send: [], deliver: [], tell: [] });
    }
    assert.equal(joins.handleReceived(frame(null, "@3", "kept:a", "said", {})), null);
    assert.equal(joins.handleReceived(ok("8", "kept:a", { _at: "f:2", _recovered: false })), null);
  });

  it("of a page that answers in bytes is not kept", () => {
    const joins = new Joins();
    joins.handleSent(frame("3", "3", "room:a", "phx_join", {}));
    assert.equal(joins.handleReceived(bytes(1, ["3", "3", "room:a", "ok"])), null);
    assert.equal(joins.isKept, false);
  });
});

describe("pushes", () => {
  it("that may have been sent fail, and those that certainly were not go on behind the join", () => {
    const joins = joined();
    const [sent, unsent, unsentBytes] = [
      frame("3", "5", "kept:a", "say", {}),
      frame("3", "6", "kept:a", "say", {}),
      bytes(0, ["3", "7", "kept:a", "draw"]),
    ];
    for (const push of [sent, unsent, unsentBytes]) joins.handleSent(push);
    const { send, deliver } = joins.handleLost([unsent, unsentBytes]);
    assert.deepEqual(send.slice(1), [unsent, unsentBytes]);
    assert.deepEqual(deliver, [frame("3", "5", "kept:a", "phx_reply", { status: "error", response: { reason: "lost" } })]);
    assert.deepEqual(joins.handleLost([]).deliver.length, 2, "lost with the next session, they fail like others");
  });

  it("without an answer are known up to a bound", () => {
    const joins = joined();
    for (let ref = 1; ref <= 1_500; ref += 1) joins.handleSent(frame("3", `${ref + 10}`, "kept:a", "move", {}));
    const { deliver } = joins.handleLost([]);
    assert.deepEqual([deliver.length, JSON.parse(deliver[0])[1], JSON.parse(deliver.at(-1))[1]], [1_000, "511", "1510"]);
  });

  it("that are heartbeats are repeated, and leaves are done", () => {
    const joins = joined();
    joins.handleSent(frame(null, "5", "phoenix", "heartbeat", {}));
    joins.handleSent(frame("3", "6", "kept:a", "phx_leave", {}));
    const { send, deliver } = joins.handleLost([]);
    assert.deepEqual(send, [frame(null, "5", "phoenix", "heartbeat", {})]);
    assert.deepEqual(deliver, [frame("3", "6", "kept:a", "phx_reply", { status: "ok", response: {} })]);
  });
});
