// A Redis and three nodes of one kind, all on core 0.

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { connects } from "../../../../tests/clients/support/ports.js";
import { until } from "../../../../tests/clients/support/wait.js";
import { connectPhoenix, connectSocketio } from "./clients.js";

const peers = fileURLToPath(new URL("../..", import.meta.url));
const REDIS_PORT = 4980;
const NODES = 3;

const testbed = ["../../target/release/testbed"];
const socketioxide = ["socketioxide/target/release/peer-socketioxide"];
const socketio = ["node", "node/socketio.js"];

/** By their names in the table. */
export const kinds = {
  lapwing: { command: testbed, connect: connectPhoenix, env: (n) => ({ APP: "peers", NODE: nameOf(n) }) },
  socketioxide: { command: socketioxide, connect: connectSocketio, env: () => ({}) },
  "socket.io, sharded": { command: socketio, connect: connectSocketio, env: () => ({ ADAPTER: "sharded" }) },
  "socket.io, streams": { command: socketio, connect: connectSocketio, env: () => ({ ADAPTER: "streams" }) },
};

/** What a node of lapwing calls itself, and tells clients that have lost something of it. */
export const nameOf = (n) => `node-${n}`;

export const engine = `redis://127.0.0.1:${REDIS_PORT}`;

/** Starts them, and says how to stop them. */
export async function startCluster(kind) {
  const started = [];
  const stop = () => Promise.all(started.map((server) => server.stop()));
  try {
    const redis = ["redis-server", "--port", String(REDIS_PORT), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    started.push(await start(redis, {}, REDIS_PORT));
    for (let n = 0; n < NODES; n += 1) {
      const env = { ENGINE: engine, RUST_LOG: "off", NODE_ENV: "production", ...kinds[kind].env(n) };
      started.push(await start(kinds[kind].command, env, REDIS_PORT + 1 + n));
    }
    const [redisServer, ...nodes] = started;
    return { redis: redisServer, nodes, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function start(command, env, port) {
  if (await connects(port)) throw new Error(`port ${port} is in use`);
  const options = { cwd: peers, env: { ...process.env, ...env, HOST: "127.0.0.1", PORT: String(port) } };
  const child = spawn("taskset", ["-c", "0", ...command], { ...options, stdio: ["ignore", "pipe", "pipe"] });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  let log = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (log = (log + text).slice(-2_000)));
  const over = new Promise((resolve) => child.once("exit", resolve));
  const hasEnded = () => child.exitCode !== null || child.signalCode !== null;
  const stop = async () => {
    process.removeListener("exit", kill);
    kill();
    await over;
  };
  try {
    await until(`${command[0]} listens`, () => {
      if (hasEnded()) throw new Error(`${command.join(" ")} ended: ${log}`);
      return connects(port);
    });
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, pid: child.pid, hasEnded, stop };
}
