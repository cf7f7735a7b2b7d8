// Programs that a test starts and ends.

import { spawn } from "node:child_process";
import { within } from "../support/wait.js";

const LOG_CHARACTERS_MAX = 20_000;
/** A browser that starts beside others takes its time. */
const START_MS = 60_000;
/** After that an end in good order is given up. */
const END_MS = 5_000;

/** Starts a program. `said(pattern)` waits for a line of its output; `stdio` may have more than the usual three. */
export function startChild(path, args, { env, extra = [] } = {}) {
  const child = spawn(path, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe", ...extra] });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  let log = "";
  const listeners = new Set();
  for (const stream of child.stdio.slice(1)) {
    stream.on("data", (text) => {
      log = (log + text).slice(-LOG_CHARACTERS_MAX);
      for (const listener of listeners) listener();
    });
  }
  const over = new Promise((resolve) => child.once("close", resolve));
  return {
    log: () => log,
    said(pattern) {
      const found = new Promise((resolve, reject) => {
        const look = () => log.match(pattern) && resolve(log.match(pattern));
        listeners.add(look);
        look();
        child.once("error", reject);
        over.then((code) => reject(new Error(`${path} ended with ${code}: ${log}`)));
      });
      return within(`${path} says ${pattern}`, found, START_MS);
    },
    async stop() {
      process.off("exit", kill);
      child.kill();
      await within(`the end of ${path}`, over, END_MS).catch(kill);
      await over;
    },
  };
}
