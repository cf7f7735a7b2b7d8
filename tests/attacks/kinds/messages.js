// Messages that nearly end.

import { MB } from "../memory.js";
import { again, connect, pause, text, upgrade, write } from "../wire.js";

const SOCKETS = 100;
const MESSAGE = 9_900_000;
const BYTE_MS = 500;

export const messages = {
  name: "unfinished messages",
  what: `${SOCKETS} WebSockets send 9.9 of 10 MB and then a byte each half second; who is closed comes back`,
  bound: { bytes: 537 * MB, why: "a mount" },
  mayRefuse: true,
  async attack({ port, mount, until }) {
    const begun = text("x".repeat(MESSAGE + 100_000)).subarray(0, MESSAGE);
    let opened = 0;
    await again(SOCKETS, until, async () => {
      const socket = await connect(port);
      if (!(await write(socket, upgrade(`${mount}/websocket?vsn=2.0.0`))) || !(await write(socket, begun))) return false;
      opened += 1;
      while (Date.now() < until && (await write(socket, "x"))) await pause(BYTE_MS);
      socket.destroy();
      return true;
    });
    return { opened };
  },
};
