// Event streams, in whatever pieces they come.

import assert from "node:assert/strict";
import { it } from "node:test";
import { EventReader } from "../src/transports/events.js";
import { SEED, randomOf } from "./support.js";

const LINES = ["!opened T 1 2", '["1",null,"a"]', "", " begins with a space", "data: x", ": no comment", "\u2028"];

for (const [name, end] of [["LF", "\n"], ["CRLF", "\r\n"], ["CR", "\r"]]) {
  it(`events with ${name} in random pieces (SEED=${SEED})`, () => {
    const text = `:${" ".repeat(100)}${end}${end}${LINES.map((line) => `data: ${line}${end}${end}`).join("")}`;
    const random = randomOf(SEED);
    for (let run = 0; run < 200; run += 1) {
      const reader = new EventReader();
      const read = [];
      for (let at = 0; at < text.length; ) {
        const next = at + 1 + Math.floor(random() * 20);
        read.push(...reader.read(text.slice(at, next)));
        at = next;
      }
      assert.deepEqual(read, LINES);
    }
  });
}

it("a space after the colon is not needed", () => {
  assert.deepEqual(new EventReader().read("data:x\n\nid: 5\nevent: y\n"), ["x"]);
});
