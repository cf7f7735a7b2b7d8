// Starts the server that everything here talks to: examples/testbed.rs.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";

export const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Starts the testbed on a free port, or on the one given, and says where it is and how to stop it. */
export function startTestbed(options) {
  return startExample("testbed", options);
}

/**
 * Starts an example that prints `listening on ADDRESS`.
 *
 * It must have been built: a test that compiles for minutes would look like one that hangs.
 */
export async function startExample(name, { port = 0 } = {}) {
  const child = spawn(programOf(name), {
    cwd: root,
    env: { ...process.env, PORT: String(port), HOST: "127.0.0.1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  process.once("exit", () => child.kill());
  let log = "";
  child.stderr.on("data", (text) => {
    log = (log + text).slice(-20_000);
  });
  const address = await new Promise((resolve, reject) => {
    let out = "";
    child.stdout.on("data", (text) => {
      out += text;
      const found = out.match(/listening on (?:https?:\/\/)?([\w.:[\]]+:\d+)/);
      if (found) resolve(found[1]);
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`${name} ended with ${code}: ${log}`)));
  });
  return {
    address,
    port: Number(address.split(":").pop()),
    /** The end of what the server has written to its log. */
    log: () => log,
    fetch: async (path) => (await fetch(`http://${address}${path}`)).text(),
    stop: (signal) => stopChild(child, signal),
  };
}

function programOf(name) {
  const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
  const profile = process.env.PROFILE ?? "debug";
  const program = join(target, profile, "examples", name);
  if (!existsSync(program)) {
    throw new Error(`${program} is missing: run \`cargo build --example ${name}\` first`);
  }
  return program;
}

async function stopChild(child, signal) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const over = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await over;
}
