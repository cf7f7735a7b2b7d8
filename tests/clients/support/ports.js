// Ports of this machine.

import { randomInt } from "node:crypto";
import net from "node:net";

// Below the ports that systems give to whom it is all the same, so that nobody is given one of them before its server is started, or started again.
const FIRST = 11_000;
const COUNT = 20_000;

// Each process begins somewhere.
let next = randomInt(COUNT);

/** One that nobody listens on. No process of these tests is given it again while this one runs. */
export async function freePort() {
  for (let tries = 0; tries < COUNT; tries += 1) {
    const port = FIRST + (next++ % COUNT);
    if ((await isFree(port)) && (await isOurs(port))) return port;
  }
  throw new Error("no port is free");
}

async function isFree(port) {
  const server = net.createServer();
  const error = await failureOf(server, port, "127.0.0.1");
  if (error === undefined) await new Promise((resolve) => server.close(resolve));
  return error === undefined;
}

/**
 * Whether no other process has taken the port for itself, at another address than servers listen on. Where a system has but one address of this
 * kind, that is not to be known.
 */
async function isOurs(port) {
  const error = await failureOf(net.createServer().unref(), port, "127.0.0.2");
  return error?.code !== "EADDRINUSE";
}

function failureOf(server, port, address) {
  return new Promise((resolve) => {
    server.once("error", resolve);
    server.listen(port, address, () => resolve());
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
