// Three browsers' engines, driven alike: what a test does to a page it does to the page of any of them.
//
// `startEngine(name)` gives `{ name, newPage, stop }`. A page is a window of its own, visible beside the others: `goto(url)`,
// `reload()`, `back()`, `close()`, and `evaluate(function, …)`, which runs a function in the page, with arguments and a result that
// JSON can say. They share their storage by origin: two people need two names for one host.

import { until } from "../support/wait.js";
import { startChromiumEngine } from "./chromium.js";
import { startFirefoxEngine } from "./firefox.js";
import { startWebkitEngine } from "./webkit.js";

const starters = { chromium: startChromiumEngine, firefox: startFirefoxEngine, webkit: startWebkitEngine };

export const engines = Object.keys(starters);

/** A browser takes its time to start beside others. */
const SIGHT_MS = 20_000;

export async function startEngine(name) {
  return { name, ...(await starters[name]()) };
}

/** Waits until a function that runs in the page returns something true, and returns that. */
export async function see(page, what, seen, ...args) {
  let failure;
  // A page that is on its way to another cannot be asked.
  const ask = () => page.evaluate(seen, ...args).catch((error) => void (failure = error));
  try {
    return await until(what, ask, SIGHT_MS);
  } catch (error) {
    error.cause = failure;
    throw error;
  }
}
