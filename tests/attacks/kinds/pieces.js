// Bodies in pieces of one byte, from clients that have no session.

import { again, connect, head, pause, write } from "../wire.js";
import { begin, headers, oneByteEach, post, reset } from "../http2.js";

const FLOODS = 8;
const HALVES = 200;
const STREAMS = 100;

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
  bound: { bytes: STREAMS * 66_000, why: "66 KB a stream" },
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
