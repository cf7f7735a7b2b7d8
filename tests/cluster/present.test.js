// The tests' watcher: it sees what phoenix.js would show.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Watcher } from "./support/present.js";

const ada = { "node-3-ada": { metas: [{ phx_ref: "F1" }] } };
const diff = (joins, leaves = {}) => [null, null, "t", "presence_diff", { joins, leaves }];
const state = (payload) => ["1", null, "t", "presence_state", payload];

const sees = (...messages) => {
  const watcher = new Watcher();
  messages.forEach((message) => watcher.hear(message));
  return watcher.count({ name: "node-3" });
};

describe("a watcher", () => {
  it("counts who is in a diff and in the list once, whichever comes first", () => {
    for (const both of [[diff(ada), state(ada)], [state(ada), diff(ada)]]) {
      assert.equal(sees(...both), 1);
      assert.equal(sees(...both, diff({}, ada)), 0);
    }
  });

  it("counts a key until its last meta is gone", () => {
    const again = { "node-3-ada": { metas: [{ phx_ref: "F2" }] } };
    assert.equal(sees(state(ada), diff(again, ada)), 1);
    assert.equal(sees(state(ada), diff(again, ada), diff({}, again)), 0);
  });
});
