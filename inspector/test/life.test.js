// A session's life in sentences, and what it says of the network.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { failureText, judgeLife, linesOf, sentence, unexplained } from "../web/life.js";
import { lineOf, ratesOf } from "../web/plot.js";

const carried = (transport, at = 0) => ({ what: "carried", transport, at });
const pathOf = (...failures) => ({ failures: failures.map((failure) => failure.split(":")).map(([transport, how]) => ({ transport, how })) });
const ids = (entries, path = null) => judgeLife(entries, path).map(({ id }) => id);

describe("a life", () => {
  it("is told in sentences, whatever a page says", () => {
    assert.equal(sentence(carried("sse")), "Carried by an event stream");
    assert.equal(failureText({ transport: "websocket", how: "silent" }), "WebSocket: nothing came by it in time");
    assert.equal(failureText({ transport: "websocket", how: "closed_1009" }), "WebSocket: closed 1009");
    const slower = "an event stream: another one had answered first, when this had had 250 ms";
    assert.equal(failureText({ transport: "sse", how: "slower", ms: 250 }), slower);
    assert.equal(failureText({ transport: "sse", how: "slower", ms: null }), slower.split(", when")[0]);
    assert.equal(sentence({ what: "closed", reason: "too_slow" }), "Ended: the client did not keep up");
    assert.equal(sentence({ what: "left", topic: '"room:1"', reason: "kicked" }), 'Left "room:1" (kicked)');
  });

  it("folds what comes again and again", () => {
    const loop = Array.from({ length: 7 }, (_, n) => carried(n % 2 ? "longpoll" : "sse", n));
    const texts = (entries) => linesOf(entries).map(({ at, text }) => `${at} ${text}`);
    assert.deepEqual(texts([carried("websocket", -1), ...loop]), [
      "-1 Carried by WebSocket",
      "0 3 times: Carried by an event stream, Carried by long-poll",
      "6 Carried by an event stream",
    ]);
    assert.deepEqual(texts(loop.slice(0, 5)).length, 5, "twice is told twice");
    const away = [{ what: "away", at: 0 }, { what: "away", at: 1 }, { what: "away", at: 2 }];
    assert.deepEqual(texts(away), ["0 3 times: Nothing carries it"]);
    assert.deepEqual(texts([]), []);
  });

  it("says what it does not know", () => {
    const live = { transport: "longpoll", isResumable: true, path: null };
    assert.match(unexplained(live), /told of no failure: it was told to use long-poll/);
    assert.match(unexplained({ ...live, isResumable: false }), /does not say/);
    assert.equal(unexplained({ ...live, path: pathOf("websocket:closed") }), undefined);
    assert.equal(unexplained({ ...live, transport: "websocket" }), undefined);
  });

  it("says nothing of a network in which all is well", () => {
    assert.deepEqual(ids([]), []);
    assert.deepEqual(ids([carried("websocket"), { what: "closed", reason: "client", at: 9 }]), []);
    assert.deepEqual(ids([carried("websocket"), carried("websocket", 90_000)], pathOf("websocket:closed")), []);
    assert.deepEqual(ids([carried("sse"), carried("websocket", 900)], pathOf("websocket:silent")), []);
    assert.deepEqual(ids([carried("sse")], pathOf("websocket:slower")), []);
    assert.deepEqual(ids([0, 400, 800].map((at) => carried("websocket", at)), pathOf("websocket:slower")), []);
  });

  it("tells why a session is not on a WebSocket", () => {
    assert.deepEqual(ids([carried("sse")], pathOf("websocket:closed")), ["websocket_fails"]);
    assert.deepEqual(ids([carried("sse")], pathOf("websocket:silent")), ["websocket_unanswered"]);
    assert.deepEqual(ids([carried("longpoll")], pathOf("websocket:closed", "sse:silent")), ["websocket_fails", "stream_unanswered"]);
    // A stream that was tried had the session for a moment, though nothing came by it.
    const tried = [carried("longpoll"), carried("sse", 1_000), carried("longpoll", 2_700)];
    assert.deepEqual(ids(tried, pathOf("sse:silent")), ["stream_unanswered"]);
    assert.deepEqual(ids([carried("sse"), carried("websocket", 60_000)], pathOf("sse:silent")), []);
  });

  it("tells connections that die young from those that go silent", () => {
    const dying = [0, 400, 800].map((at) => carried("websocket", at));
    const [found, ...others] = judgeLife(dying, pathOf("websocket:closed"));
    assert.deepEqual([found.id, found.ms, others], ["websocket_killed", 400, []]);
    assert.deepEqual(ids([carried("websocket"), carried("websocket", 60_000)], pathOf("websocket:mute")), ["connections_forgotten"]);
  });
});

describe("a plot", () => {
  it("is as wide as its time and as high as its most", () => {
    assert.equal(lineOf([{ at: 0, value: 0 }, { at: 5, value: 10 }, { at: 10, value: 5 }]), "M0.0,54.0 L120.0,4.0 L240.0,29.0");
    assert.equal(lineOf([{ at: 0, value: 1 }]), "");
  });

  it("has a gap where nobody looked", () => {
    assert.equal(lineOf([0, 5_000, 20_000, 25_000].map((at) => ({ at, value: 1 }))).replace(/[\d.,]+/g, ""), "M L M L");
  });

  it("shows how fast a count grows, and none that falls", () => {
    const samples = [{ at: 0, n: 10 }, { at: 2_000, n: 30 }, { at: 4_000, n: 20 }];
    assert.deepEqual(ratesOf(samples, "n"), [{ at: 2_000, value: 10 }, { at: 4_000, value: 0 }]);
  });
});
