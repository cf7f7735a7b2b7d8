// Starts the programs that the tests talk to: the testbed above all, the demo, and examples.

import { spawn } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";

export const root = fileURLToPath(new URL("../../..", import.meta.url));

/** Starts the testbed on a free port, or on the one given, and says where it is and how to stop it. */
export function startTestbed(options) {
  return start("testbed", "cargo build -p lapwing-testbed", options);
}

/** For how long a port that was asked for may be somebody else's. */
const PORT_MS = 20_000;

/** Starts the demo. */
export function startDemo(options) {
  return start("demo", "cargo build -p lapwing-demo", options);
}

/** Starts the board. */
export function startBoard(options) {
  return start("board", "cargo build -p lapwing-example-board", options);
}

/** Starts one of the examples. */
export function startExample(name, options) {
  return start(`examples/${name}`, `cargo build --example ${name}`, options);
}

/** Starts a program on a free port, or on the one given. */
async function start(name, build, options) {
  for (const end = Date.now() + PORT_MS; ; await new Promise((resolve) => setTimeout(resolve, 100))) {
    try {
      return await startOnce(name, build, options);
    } catch (error) {
      // A port that was ours may be somebody's for a moment: the kernel gives it to whoever connects to anything.
      if (!options?.port || !/in use/i.test(error.message) || Date.now() > end) throw error;
    }
  }
}

/** Starts a program that prints `listening on ADDRESS`. */
async function startOnce(name, build, { port = 0, env = {} } = {}) {
  const child = spawn(programOf(name, build), {
    cwd: root,
    env: { ...process.env, ...env, PORT: String(port), HOST: "127.0.0.1" },
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
    pid: child.pid,
    signal: (name) => child.kill(name),
    /** Its exit code, or the signal that ended it. */
    over: new Promise((resolve) => child.once("exit", (code, signal) => resolve(code ?? signal))),
  };
}

/** The program must have been built: a test that compiles for minutes would look like one that hangs. */
export function programOf(name, build) {
  const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
  const program = join(target, process.env.PROFILE ?? "debug", name);
  if (!existsSync(program)) throw new Error(`${program} is missing: run \`${build}\` first`);
  const newer = sourcesOf(program).find((source) => !(statSync(source, { throwIfNoEntry: false })?.mtimeMs <= statSync(program).mtimeMs));
  if (newer) throw new Error(`${program} is older than ${newer}: run \`${build}\` first`);
  return program;
}

/** The files that a program was built from, as cargo lists them beside it; what is only in its documentation aside. */
function sourcesOf(program) {
  const [, sources] = readFileSync(`${program}.d`, "utf8").trim().split(/:\s+/);
  const paths = sources.split(/(?<!\\) /).map((path) => path.replaceAll("\\ ", " "));
  return paths.filter((path) => !path.endsWith(".md"));
}

async function stopChild(child, signal) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const over = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await over;
}
