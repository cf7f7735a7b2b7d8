// Requests with heads as large as they may be, that are remembered for a while.

import { again, connect, pause, requester, text, upgrade, write } from "../wire.js";

const TICKETS = 6_000;
const CONNECTIONS = 20;
const SILENT = 400;
const LARGE = { "X-Large": "x".repeat(14_000) };

export const tickets = {
  name: "tickets",
  what: `${TICKETS} tickets with heads of 14 KB`,
  bound: { bytes: TICKETS * 17_000 + CONNECTIONS * 34_000, why: "17 KB a ticket" },
  async attack({ port, mount, until }) {
    const request = requester(port, CONNECTIONS);
    let [issued, refused] = [0, 0];
    const one = async () => {
      const path = `${mount}/sse?lapwing=1&vsn=2.0.0`;
      const { text } = await request("POST", path, { body: "!ticket\n!open 30000", headers: LARGE });
      if (text.startsWith("!ticket ")) issued += 1;
      else refused += 1;
    };
    await Promise.all(Array.from({ length: TICKETS }, one));
    await pause(until - Date.now());
    return { issued, refused };
  },
};

export const silent = {
  name: "silent WebSockets",
  what: `${SILENT} WebSockets with heads of 14 KB that send 64 KB and do not say which session they are for`,
  bound: { bytes: SILENT * 85_000, why: "85 KB each" },
  async attack({ port, mount, until }) {
    const hello = upgrade(`${mount}/websocket?vsn=2.0.0`, { "Sec-WebSocket-Protocol": "lapwing.1", ...LARGE });
    const begun = text("x".repeat(100_000)).subarray(0, 64_000);
    let opened = 0;
    await again(SILENT, until, async () => {
      const socket = await connect(port);
      if (!(await write(socket, hello))) return false;
      await write(socket, begun);
      opened += 1;
      while (Date.now() < until && !socket.destroyed) await pause(200);
      socket.destroy();
      return true;
    });
    return { opened };
  },
};
