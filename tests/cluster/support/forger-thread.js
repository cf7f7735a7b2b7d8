// Somebody who may write to the engine, and says what the nodes say with something changed.

import net from "node:net";
import { within } from "../../clients/support/wait.js";
import { serve } from "./thread.js";

/** Messages of the nodes that are kept to be changed. */
const SAMPLES = 512;

/** Messages that are known when they come back. */
const OWN_MAX = 20_000;

/** Messages that are said at a time. */
const BATCH = 100;

class Forger {
  #socket;
  #speaks;
  #rest = Buffer.alloc(0);
  #samples = [];
  /** What was said and has not come back, the last of it. */
  #own = new Set();
  #next = 0;
  /** How much was said. */
  said = 0;

  constructor(engine, app) {
    this.#speaks = dialects[engine.kind];
    this.#socket = net.connect(engine.port, "127.0.0.1");
    this.#socket.on("error", () => {});
    this.#socket.write(this.#speaks.hear(app));
    this.heard = new Promise((resolve) => {
      this.#socket.on("data", (bytes) => {
        this.#rest = Buffer.concat([this.#rest, bytes]);
        this.#read();
        if (this.#samples.length > 0) resolve();
      });
    });
  }

  #read() {
    for (;;) {
      const read = this.#speaks.read(this.#rest);
      if (!read) return;
      this.#rest = this.#rest.subarray(read.end);
      if (read.isPing) this.#socket.write("PONG\r\n");
      // What it has said itself comes back, and would be changed again and again, and grow.
      if (!read.channel || this.#own.delete(read.bytes.toString("latin1"))) continue;
      this.#samples[this.#next] = { channel: read.channel, bytes: Buffer.from(read.bytes) };
      this.#next = (this.#next + 1) % SAMPLES;
    }
  }

  /** Says so many messages, as fast as the engine takes them; each is one of the nodes' with something changed, on the channel of another. */
  async say(count) {
    for (let left = count; left > 0 && !this.#socket.destroyed; left -= BATCH) {
      const batch = Array.from({ length: Math.min(BATCH, left) }, () => this.#one());
      this.said += batch.length;
      const taken = new Promise((resolve) => this.#socket.write(Buffer.concat(batch), resolve));
      await taken;
      await new Promise(setImmediate);
    }
  }

  #one() {
    const bytes = changed(one(this.#samples).bytes);
    this.#own.add(bytes.toString("latin1"));
    for (const oldest of this.#own) {
      if (this.#own.size <= OWN_MAX) break;
      this.#own.delete(oldest);
    }
    return this.#speaks.say(one(this.#samples).channel, bytes);
  }

  /** The channel of the last message that has a text in it, if there was one. */
  channelOf(text) {
    return this.#samples.findLast(({ bytes }) => bytes.includes(text))?.channel;
  }

  /** Hears nothing any more. */
  deafen() {
    this.#socket.write(this.#speaks.deafen);
  }

  /** Says something that is nothing to the nodes, of so many bytes, so often. */
  async fill(channel, bytes, count) {
    const said = this.#speaks.say(channel, Buffer.alloc(bytes));
    for (let n = 0; n < count; n += 1) await new Promise((resolve) => this.#socket.write(said, resolve));
  }
}

const below = (count) => Math.floor(Math.random() * count);
const one = (some) => some[below(some.length)];

/** A byte or some of them are others; or the end is missing, or is another's. */
function changed(bytes) {
  const copy = Buffer.from(bytes);
  switch (below(4)) {
    case 0:
      return copy.subarray(0, below(copy.length));
    case 1:
      return Buffer.concat([copy, copy.subarray(below(copy.length))]);
    default: {
      for (let n = 1 + below(4); n > 0; n -= 1) copy[below(copy.length)] ^= 1 << below(8);
      return copy.equals(bytes) ? Buffer.concat([copy, Buffer.from([0])]) : copy;
    }
  }
}

const dialects = {
  redis: {
    hear: (app) => Buffer.concat([command("HELLO", "3"), command("PSUBSCRIBE", `lw:${app}:*`)]),
    deafen: "PUNSUBSCRIBE\r\n",
    say: (channel, bytes) => command("PUBLISH", channel, bytes),
    // A connection of RESP2 that subscribes may not publish, and so this is one of RESP3, which answers in between.
    read(rest) {
      const item = readResp(rest, 0);
      if (!item) return undefined;
      const [kind, , channel, bytes] = Array.isArray(item.value) ? item.value : [];
      return String(kind) === "pmessage" ? { end: item.end, channel: String(channel), bytes } : { end: item.end };
    },
  },
  nats: {
    hear: (app) => `CONNECT {"verbose":false,"echo":false}\r\nSUB lw.${app}.> 1\r\n`,
    deafen: "UNSUB 1\r\n",
    say: (channel, bytes) => Buffer.concat([Buffer.from(`PUB ${channel} ${bytes.length}\r\n`), bytes, CRLF]),
    read(rest) {
      const end = rest.indexOf(CRLF);
      if (end < 0) return undefined;
      const [word, channel, ...others] = rest.toString("latin1", 0, end).split(" ");
      if (word !== "MSG") return { end: end + 2, isPing: word === "PING" };
      const length = Number(others.at(-1));
      if (rest.length < end + length + 4) return undefined;
      return { end: end + length + 4, channel, bytes: rest.subarray(end + 2, end + 2 + length) };
    },
  },
};

const CRLF = Buffer.from("\r\n");

function command(...words) {
  const parts = words.map((word) => (Buffer.isBuffer(word) ? word : Buffer.from(word)));
  return Buffer.concat([Buffer.from(`*${parts.length}\r\n`), ...parts.flatMap((part) => [Buffer.from(`$${part.length}\r\n`), part, CRLF])]);
}

/** One item of Redis's protocol: texts as bytes, lists and pushes as arrays, the rest as it stands. */
function readResp(bytes, at) {
  const end = bytes.indexOf(CRLF, at);
  if (end < 0) return undefined;
  const [mark, line] = [bytes[at], bytes.toString("latin1", at + 1, end)];
  switch (String.fromCharCode(mark)) {
    case "$": {
      const after = end + 2 + Number(line);
      return bytes.length < after + 2 ? undefined : { value: bytes.subarray(end + 2, after), end: after + 2 };
    }
    case "*":
    case ">":
    case "%": {
      const value = [];
      let next = end + 2;
      for (let left = Number(line) * (mark === 0x25 ? 2 : 1); left > 0; left -= 1) {
        const item = readResp(bytes, next);
        if (!item) return undefined;
        value.push(item.value);
        next = item.end;
      }
      return { value, end: next };
    }
    default:
      return { value: line, end: end + 2 };
  }
}

await serve(async (engine, app) => {
  const forger = new Forger(engine, app);
  await within("a message of a node", forger.heard);
  return forger;
});
