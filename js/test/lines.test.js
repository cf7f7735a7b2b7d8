// The shared vectors, and what they do not say.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { Breach, encodeLine, encodeMessage, readLine, say } from "../src/lines.js";

const vectors = JSON.parse(readFileSync(new URL("../../docs/sessions.json", import.meta.url)));

describe("the vectors of the dialect", () => {
  for (const { text, bytes, line, message } of vectors.frames.cases) {
    it(`frame ${JSON.stringify(text ?? `bytes ${bytes}`)}`, () => {
      const frame = text ?? bufferOf(bytes);
      assert.equal(encodeLine(frame), line);
      assert.deepEqual(encodeMessage(frame), message ?? frame);
      assert.deepEqual(readLine(line), { frame });
      if (message !== undefined) assert.deepEqual(readLine(message), { frame });
    });
  }
  for (const { line, text } of vectors.other_forms.cases) {
    it(`other form ${line}`, () => assert.deepEqual(readLine(line), { frame: text }));
  }
  for (const { line, is } of vectors.control.from_server) {
    it(`reads ${line}`, () => assert.deepEqual(readLine(line), is ? { control: is } : {}));
  }
  for (const { line, is } of vectors.control.from_client) {
    const spoken = is && spokenLine(is);
    if (spoken) it(`says ${spoken}`, () => assert.ok(line === spoken || line.startsWith(`${spoken} `)));
  }
  it("the breaches that concern frames", () => {
    const frames = vectors.breaches.cases.filter((line) => /^["*]/.test(line) && line !== '"\\ud800"');
    for (const line of [...frames, "!", "! open", "!1"]) assert.throws(() => readLine(line), Breach, line);
  });
});

describe("lines", () => {
  it("bad numbers and missing words are a breach", () => {
    for (const line of ["!opened", "!opened T", "!opened T 1", "!resumed x", "!ack -1", "!ack +1", "!ack 1.5", "!ack 9007199254740992"]) {
      assert.throws(() => readLine(line), Breach, line);
    }
  });
  it("words at the end of a known line are ignored", () => {
    assert.deepEqual(readLine("!ack 5 and more"), { control: { word: "ack", received: 5 } });
  });
  it("an empty line and the names of an object's own are ignored", () => {
    assert.deepEqual(readLine(""), {});
    assert.deepEqual(readLine("!constructor 1"), {});
  });
  it("half a character is replaced, as a WebSocket does it", () => {
    assert.equal(encodeLine("!\ud800"), '"!\ufffd"');
    assert.equal(encodeLine("!\ud834\udd1e"), '"!\ud834\udd1e"');
  });
  it("many bytes", () => {
    const bytes = Uint8Array.from({ length: 200_000 }, (_, at) => at % 251);
    assert.deepEqual(new Uint8Array(readLine(encodeLine(bytes.buffer)).frame), bytes);
  });
});

function spokenLine({ word, beat, token, received, first, round_trip: roundTrip, failures }) {
  const said = say[word];
  if (typeof said === "string") return said;
  const path = [roundTrip, failures];
  const words = { open: [beat], resume: [token, received, beat], send: [token], from: [first], ack: [received], path };
  return said(...words[word]);
}

function bufferOf(hex) {
  return Uint8Array.from(hex.match(/../g) ?? [], (byte) => parseInt(byte, 16)).buffer;
}
