// Ports of this machine.

import { randomInt } from "node:crypto";
import net from "node:net";

// Below the ports that systems give to whom it is all the same, so that nobody is given one of them before its server is started, or started again.
const FIRST = 11_000;
const COUNT = 20_000;

// Other processes give theirs as well: each begins somewhere.
let next = randomInt(COUNT);

/** One that nobody listens on, each time another one. */
export async function freePort() {
  for (let tries = 0; tries < COUNT; tries += 1) {
    const port = FIRST + (next++ % COUNT);
    if (await isFree(port)) return port;
  }
  throw new Error("no port is free");
}

function isFree(port) {
  const server = net.createServer();
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Whether somebody listens on it. */
export function connects(port) {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("error", () => resolve(false));
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}
