// Redis and NATS as the tests' nodes use them, and what can be done to them.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connects, freePort } from "../../clients/support/ports.js";
import { findProgram } from "../../clients/support/proxies.js";
import { until } from "../../clients/support/wait.js";

const programs = {
  redis: { program: "redis-server", file: [], args: (port) => ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"] },
  nats: { program: "nats-server", file: ["--config"], args: (port) => ["--addr", "127.0.0.1", "--port", port] },
};

export const engines = Object.keys(programs);

/** Starts an engine on a free port. `args` are added to its command line, `config` is its file. */
export async function startEngine(kind, { args = [], config } = {}) {
  const engine = new Engine(kind, await freePort(), args, config);
  await engine.begin();
  return engine;
}

/** What makes a NATS one of a cluster of servers. */
export const natsCluster = async () => ({ args: ["--cluster", `nats://127.0.0.1:${await freePort()}`, "--cluster_name", "c"] });

class Engine {
  #child;
  #dir;
  #args;
  #others = [];
  /** The end of what it has said. */
  log = "";

  constructor(kind, port, args, config) {
    Object.assign(this, { kind, port });
    this.#dir = mkdtempSync(join(tmpdir(), `lapwing-${kind}-`));
    const file = config === undefined ? [] : [...programs[kind].file, "engine.conf"];
    if (config !== undefined) writeFileSync(join(this.#dir, "engine.conf"), config);
    // A Redis takes its file before everything else.
    this.#args = [...file, ...programs[kind].args(String(port)), ...args];
    process.once("exit", () => this.#child?.kill("SIGKILL"));
  }

  /** Its address, or that of somebody who stands before it. */
  url(port = this.port) {
    return `${this.kind}://127.0.0.1:${port}`;
  }

  get pid() {
    return this.#child.pid;
  }

  /** Starts it, which must not run. It has forgotten everything. */
  async begin() {
    const child = spawn(findProgram(programs[this.kind].program), this.#args, { cwd: this.#dir, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (this.log = (this.log + text).slice(-20_000)));
    this.#child = child;
    await until(`${this.kind} listens`, async () => {
      if (child.exitCode !== null) throw new Error(`${this.kind} ended with ${child.exitCode}: ${this.log}`);
      return connects(this.port);
    });
  }

  signal(name) {
    this.#child.kill(name);
  }

  /** Ends it as if the power went. */
  async kill() {
    const over = new Promise((resolve) => this.#child.once("exit", resolve));
    if (this.#child.exitCode === null && this.#child.signalCode === null && this.#child.kill("SIGKILL")) await over;
  }

  /** Starts another server of the same cluster, and waits until they know each other: a NATS that was started with `natsCluster`. */
  async addServer() {
    const at = this.#args.indexOf("--cluster");
    const args = ["--cluster", `nats://127.0.0.1:${await freePort()}`, "--cluster_name", "c", "--routes", this.#args[at + 1]];
    const other = await startEngine(this.kind, { args });
    this.#others.push(other);
    await until("the servers know each other", () => this.log.includes("Route connection created"));
  }

  async stop() {
    for (const other of this.#others) await other.stop();
    await this.kill();
    rmSync(this.#dir, { recursive: true, force: true });
  }

  /** Says commands of Redis on a connection of its own, and returns its answers as they stand on the wire. */
  commands() {
    const socket = net.connect(this.port, "127.0.0.1");
    const waiting = [];
    socket.on("data", (text) => waiting.shift()?.(String(text)));
    socket.on("error", () => {});
    return {
      say: (...words) =>
        new Promise((resolve) => {
          waiting.push(resolve);
          socket.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`);
        }),
      end: () => socket.destroy(),
    };
  }
}
