// Where the transports of a mount are.

import assert from "node:assert/strict";
import { it } from "node:test";
import { addressOf } from "../src/address.js";

it("what phoenix.js gives is turned into three addresses", () => {
  assert.deepEqual(addressOf("wss://example.org/a/socket/websocket?user=%20x&vsn=2.0.0", undefined), {
    key: "example.org/a/socket",
    websocket: "wss://example.org/a/socket/websocket?user=%20x&vsn=2.0.0",
    sse: "https://example.org/a/socket/sse?lapwing=1&user=%20x&vsn=2.0.0",
    longpoll: "https://example.org/a/socket/longpoll?lapwing=1&user=%20x&vsn=2.0.0",
    offers: [],
    headers: {},
  });
});

it("a mount alone will do, and http as well", () => {
  const { websocket, sse } = addressOf("http://localhost:4000/socket", "mine");
  assert.equal(websocket, "ws://localhost:4000/socket/websocket");
  assert.equal(sse, "http://localhost:4000/socket/sse?lapwing=1");
});

it("the auth token of phoenix.js goes on in a header, never in an address", () => {
  const address = addressOf("ws://h/socket/websocket?vsn=2.0.0", ["phoenix", `base64url.bearer.phx.${btoa("secret")}`]);
  assert.deepEqual(address.headers, { "X-Phoenix-AuthToken": "secret" });
  assert.ok(!/secret/.test(address.sse + address.websocket));
});
