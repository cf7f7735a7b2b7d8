// Bytes are counted as UTF-8 has them, half a character included.

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { bytesOf } from "../src/bytes.js";
import { SEED, randomOf } from "./support.js";

const encoder = new TextEncoder();

describe("bytes", () => {
  for (const [text, bytes] of [
    ["", 0],
    ["a\u007f", 2],
    ["\u0080\u07ff", 4],
    ["\u0800\uffff", 6],
    ["中", 3],
    ["😀\u{10ffff}", 8],
    // Half a character, in front, at the end, the wrong way round.
    ["\ud83dx", 4],
    ["x\ud83d", 4],
    ["\ude00\ud83d", 6],
  ]) {
    it(`of ${JSON.stringify(text)} are ${bytes}`, () => {
      assert.equal(bytesOf(text), bytes);
      assert.equal(encoder.encode(text).length, bytes, "which is what is sent");
    });
  }

  it(`of any text are those that are sent (SEED=${SEED})`, () => {
    const random = randomOf(SEED);
    const kinds = [0x80, 0x800, 0x10000].map((bound) => () => Math.floor(random() * bound));
    const halves = () => 0xd800 + Math.floor(random() * 0x800);
    for (let run = 0; run < 2_000; run += 1) {
      const units = Array.from({ length: Math.floor(random() * 12) }, () => [...kinds, halves, halves][Math.floor(random() * 5)]());
      const text = String.fromCharCode(...units);
      assert.equal(bytesOf(text), encoder.encode(text).length, JSON.stringify(text));
    }
  });

  it("of buffers and views are their own", () => {
    assert.equal(bytesOf(new ArrayBuffer(7)), 7);
    assert.equal(bytesOf(new Uint16Array(3)), 6);
  });
});
