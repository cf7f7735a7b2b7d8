// Sessions that nobody means to use.

import { MB } from "../memory.js";
import { again, message, openSession, requester, write } from "../wire.js";
import { begin, headers, lastData, post, reset } from "../http2.js";

const CONNECTIONS = 8;
const AT_ONCE = 50;
const JOINS = 100;

export const resets = {
  name: "opened and reset",
  what: `${CONNECTIONS} connections of HTTP/2 open sessions, ${AT_ONCE} at once, and reset each stream behind its request`,
  bound: { bytes: CONNECTIONS * 1_000 * 4_000, why: "4 KB for each of a connection's streams" },
  // Of each connection eight begin at a time, before an honest client's turn.
  late_ms: 100,
  async attack({ port, mount, until }) {
    const fields = post(`${mount}/longpoll?lapwing=1&vsn=2.0.0`);
    const open = (stream) => [headers(stream, fields), lastData(stream, "!open 30000"), reset(stream)];
    let sent = 0;
    await again(CONNECTIONS, until, async () => {
      const socket = await begin(port);
      for (let first = 1; Date.now() < until && first < 2 ** 30; first += 2 * AT_ONCE) {
        const streams = Array.from({ length: AT_ONCE }, (_, n) => first + 2 * n);
        if (!(await write(socket, Buffer.concat(streams.flatMap(open))))) return false;
        sent += AT_ONCE;
        // Let what comes be read: pings want their answers.
        await new Promise(setImmediate);
      }
      socket.destroy();
      return true;
    });
    return { opened: sent };
  },
};

export const neverCarried = {
  name: "never carried",
  what: `sessions of the dialect that are opened, join ${JOINS} topics each and are left, as many as ${CONNECTIONS} connections can`,
  bound: { bytes: 537 * MB, why: "a mount" },
  // What is full of somebody else's sessions lets nobody in.
  mayRefuse: true,
  async attack({ port, mount, until }) {
    const path = `${mount}/longpoll?lapwing=1&vsn=2.0.0`;
    const request = requester(port, CONNECTIONS);
    const joins = Array.from({ length: JOINS }, (_, n) => message("1", "1", `room:left-${n}`, "phx_join", {})).join("\n");
    let [opened, refused] = [0, 0];
    await again(CONNECTIONS, until, async () => {
      const token = await openSession(request, path);
      if (!token) {
        refused += 1;
        return false;
      }
      opened += 1;
      await request("POST", path, { body: `!send ${token}\n!from 1\n${joins}` });
      return true;
    });
    return { opened, refused };
  },
};
