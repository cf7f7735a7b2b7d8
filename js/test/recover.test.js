// The helper for kept topics, with a channel that a test plays.

import assert from "node:assert/strict";
import { test } from "node:test";
import { recover } from "../src/recover.js";

/** A channel as phoenix.js has it: what it sends, and ways to answer it. */
function play(since) {
  let onOk;
  const channel = {
    joinPush: { payload: () => ({ own: 1 }), receive: (_, hook) => (onOk = hook) },
    onMessage: (event, payload) => payload,
  };
  const position = recover(channel, since);
  return {
    position,
    join: () => channel.joinPush.payload(),
    ok: (reply) => onOk(reply),
    hear: (ref) => channel.onMessage("said", { n: 1 }, ref, null),
  };
}

test("a channel asks with what it heard last", () => {
  const { join, ok, hear, position } = play();
  assert.deepEqual(join(), { own: 1, _since: "" });
  ok({ _at: "e:7" });
  assert.deepEqual(hear("@8"), { n: 1 });
  hear(null);
  hear("12");
  assert.deepEqual([position(), join()], ["e:8", { own: 1, _since: "e:8" }]);
});

test("what is heard behind an answer that was lost says nothing of where the channel is", () => {
  for (const since of ["", "-20", "e:58"]) {
    const { join, hear, position } = play(since);
    join();
    hear("@91");
    assert.equal(position(), since);
    assert.equal(join()._since, since);
  }
});

test("a topic that is not kept changes nothing", () => {
  const { join, ok, hear, position } = play("e:58");
  join();
  ok({});
  hear("@91");
  assert.equal(position(), "e:58");
});
