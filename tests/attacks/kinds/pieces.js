// Bodies and messages in pieces of one byte.

import { MB } from "../memory.js";
import { again, connect, head, message, pause, text, write } from "../wire.js";
import { begin, data, headers, oneByteEach, post, reset, upgrade } from "../http2.js";

const FLOODS = 8;
const HALVES = 200;
const STREAMS = 100;

/** What is kept of frames that nobody has read, however little is in them: at half a window of 256 bytes each, h2 ends the connection. */
const SMALL_FRAMES = 60 * MB;

const CHUNK = "1\r\nx\r\n";
const POST = (mount) => head("POST", `${mount}/longpoll?lapwing=1&vsn=2.0.0`, { "Transfer-Encoding": "chunked" });

export const chunks = {
  name: "chunks of a byte",
  what: `${FLOODS} connections of HTTP/1.1 send chunks of one byte for as long as they may, ${HALVES} stop before the end of the first line`,
  bound: { bytes: (FLOODS + HALVES) * 18_000, why: "18 KB a request" },
  async attack({ port, mount, until }) {
    const chunks = Buffer.from(CHUNK.repeat(10_000));
    let sent = 0;
    const halves = await Promise.all(Array.from({ length: HALVES }, () => connect(port)));
    for (const socket of halves) await write(socket, POST(mount) + CHUNK.repeat(2_000));
    await again(FLOODS, until, async () => {
      const socket = await connect(port);
      await write(socket, POST(mount));
      while (Date.now() < until && (await write(socket, chunks))) sent += 10_000;
      socket.destroy();
    });
    return { chunks: sent };
  },
};

export const frames = {
  name: "frames of a byte",
  what: `one connection of HTTP/2 sends DATA frames of one byte on ${STREAMS} streams, up to their windows, again and again`,
  bound: { bytes: STREAMS * 66_000 + SMALL_FRAMES, why: "66 KB a stream, small frames of a connection" },
  // Each piece is a turn of its stream's task, and there are many streams.
  late_ms: 100,
  async attack({ port, mount, until }) {
    const fields = post(`${mount}/longpoll?lapwing=1&vsn=2.0.0`);
    let sent = 0;
    await again(1, until, async () => {
      const socket = await begin(port);
      for (let first = 1; Date.now() < until; first += 2 * STREAMS) {
        const streams = Array.from({ length: STREAMS }, (_, n) => first + 2 * n);
        await write(socket, Buffer.concat(streams.map((stream) => headers(stream, fields))));
        for (let turn = 0; turn < 12 && Date.now() < until; turn += 1) {
          for (const stream of streams) {
            if (!(await write(socket, oneByteEach(stream, 5_000)))) return false;
            sent += 5_000;
          }
          await pause(0);
        }
        await write(socket, Buffer.concat(streams.map((stream) => reset(stream))));
      }
      socket.destroy();
      return true;
    });
    return { frames: sent };
  },
};

export const unread = {
  name: "unread frames",
  what: `${STREAMS} WebSockets of one connection of HTTP/2 fill the mailbox of a channel that waits, and send DATA frames of one byte behind it`,
  bound: { bytes: STREAMS * (64_000 + 66_000 + 300_000) + SMALL_FRAMES, why: "64 KB and 66 KB a stream, a thousand events, small frames of a connection" },
  async attack({ port, mount, until, wait_ms }) {
    const fields = upgrade(`${mount}/websocket?vsn=2.0.0`);
    const first = [text(message("1", "1", "room:unread", "phx_join", {})), text(message("1", "2", "room:unread", "wait", { ms: wait_ms }))];
    const noop = text(message("1", "3", "room:unread", "noop", {}));
    const begun = Buffer.concat([...first, ...Array(1_030).fill(noop)]);
    const socket = await begin(port);
    const streams = Array.from({ length: STREAMS }, (_, n) => 1 + 2 * n);
    for (const stream of streams) {
      await write(socket, headers(stream, fields));
      for (let at = 0; at < begun.length; at += 16_000) await write(socket, data(stream, begun.subarray(at, at + 16_000)));
    }
    await pause(1_000);
    // The head of a message that never ends.
    for (const stream of streams) await write(socket, data(stream, text("x".repeat(1_000_000)).subarray(0, 14)));
    let sent = 0;
    for (let turn = 0; turn < 2; turn += 1) {
      for (const stream of streams) {
        await write(socket, oneByteEach(stream, 60_000));
        sent += 60_000;
      }
      await pause(1_000);
    }
    await pause(until - Date.now());
    return { sent, isOver: socket.destroyed };
  },
};
