// Starts the proxy that behaves like a bad middlebox, and drives it from Node. src/fault.rs lists the faults.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * Starts a proxy on a free port, before a port of this machine. `seed` decides what is left to chance.
 *
 * It must have been built: a test that compiles for minutes would look like one that hangs.
 */
export async function startFaults(targetPort, { seed = 0 } = {}) {
  const target = `127.0.0.1:${targetPort}`;
  const child = spawn(program(), ["--target", target, "--seed", String(seed)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const kill = () => child.kill();
  process.once("exit", kill);
  const over = new Promise((resolve) => child.once("close", resolve));
  // A command to a program that is gone is answered by its end.
  child.stdin.on("error", () => {});

  const waiting = [];
  const lines = createInterface({ input: child.stdout });
  const next = () => new Promise((resolve, reject) => waiting.push({ resolve, reject }));
  lines.on("line", (line) => waiting.shift()?.resolve(line));
  const fail = (error) => waiting.splice(0).forEach(({ reject }) => reject(error));
  child.once("error", fail);
  child.once("close", (code) => fail(new Error(`lapwing-faults has ended with ${code}`)));

  const listening = await next();
  const ask = async (command) => {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error("lapwing-faults has ended");
    const answer = next();
    child.stdin.write(`${JSON.stringify(command)}\n`);
    const { error, ...rest } = JSON.parse(await answer);
    if (error !== undefined) throw new Error(`lapwing-faults: ${error}`);
    return rest;
  };
  return {
    port: Number(listening.split(":").pop()),
    /** Sets these faults instead of those before: `set(["down"])`, `set([{ kill_idle_ms: 20_000 }])`. */
    set: async (faults) => void (await ask({ set: faults })),
    /** Sets no fault. What was frozen, muted or swallowed stays so until it is closed or cut. */
    lift: async () => void (await ask({ lift: true })),
    /** Resets all connections; new ones are let in. */
    cut: async () => void (await ask({ cut: true })),
    /** Freezes all connections; new ones pass. */
    freeze: async () => void (await ask({ freeze: true })),
    /** What has passed since the start. */
    counters: async () => (await ask({ counters: true })).counters,
    /** Closes all connections and the port. */
    async stop() {
      process.off("exit", kill);
      child.stdin.end();
      await over;
    },
  };
}

function program() {
  const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
  const profile = process.env.PROFILE ?? "debug";
  const path = join(target, profile, "lapwing-faults");
  if (!existsSync(path)) {
    throw new Error(`${path} is missing: run \`cargo build -p lapwing-faults\` first`);
  }
  return path;
}
