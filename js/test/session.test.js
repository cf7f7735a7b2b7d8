// What ends a session, and what only an attachment. The session here has no attachments but those that a test pretends to be.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Chooser } from "../src/chooser.js";
import { complete } from "../src/options.js";
import { ENDS, Session } from "../src/session.js";

/** A session that has taken so many frames, an attachment that asked for it when it had `number`, and how each came to its end. */
function asked({ received, number }) {
  const ends = { session: null, attachment: null };
  const session = new Session({
    options: complete({}),
    transports: ["websocket"],
    path: { chooser: new Chooser() },
    on: { over: ({ code }) => (ends.session = code) },
  });
  for (let frame = 1; frame <= received; frame += 1) session.ledger.take(frame, 0);
  const attachment = { name: "websocket", number, end: (how) => (ends.attachment = how), drop: () => {} };
  return { session, attachment, ends };
}

describe("a resume that is refused for a gap", () => {
  it("ends only its attachment if more was taken since it was asked: the next one has the better count", () => {
    const { session, attachment, ends } = asked({ received: 2, number: 1 });
    session.handleControl(attachment, { word: "refused", reason: "gap" });
    assert.deepEqual(ends, { session: null, attachment: "overtaken" });
  });

  it("ends the session if it asked for what is still missing", () => {
    const { session, attachment, ends } = asked({ received: 2, number: 2 });
    session.handleControl(attachment, { word: "refused", reason: "gap" });
    assert.deepEqual(ends, { session: ENDS.refused, attachment: null });
  });
});

describe("a session that has gone to another node", () => {
  it("is asked for by the token of that node, and said goodbye to by it", () => {
    const { session, attachment, ends } = asked({ received: 0, number: 0 });
    session.handleControl(attachment, { word: "token", token: "before" });
    session.handleControl(attachment, { word: "token", token: "NODE2" });
    assert.equal(session.hello({ name: "websocket" }, 5_000).line, "!resume NODE2 0 5000");
    assert.deepEqual(ends, { session: null, attachment: null });
  });
});
