// The doctor in a page behind a hostile behaviour.

import { freeze, startPath } from "../hostile/path.js";
import { pause, within } from "../support/wait.js";
import { SEED } from "../support/seed.js";

/** How long after the doctor has begun to watch connections something happens to them. */
const INTO_WATCH_MS = 1_500;
/** How often a page that did not arrive is asked for again, as its user would. */
const LOADS = 4;
const VISIT_MS = 60_000;

/** Opens the doctor behind a behaviour. Returns what it found, and the report. */
export async function visit(browser, testbed, behaviour) {
  const path = await startPath(testbed, { program: behaviour.program, seed: SEED });
  const context = await browser.newContext({ ignoreHTTPSErrors: true, proxy: proxyOf(path) });
  try {
    return await within(behaviour.name, examine(await context.newPage(), path, behaviour), VISIT_MS);
  } finally {
    await context.close();
    await path.stop();
  }
}

async function examine(page, path, behaviour) {
  const isLater = happensLater(behaviour);
  if (!isLater) await path.faults.set(behaviour.faults);
  const origin = path.origin?.replace("wss:", "https:") ?? `http://127.0.0.1:${path.port}`;
  await load(page, `${origin}/doctor`);
  if (isLater) {
    await reaches(page, "connections that stay");
    await pause(INTO_WATCH_MS);
    await begin(path.faults, behaviour);
  }
  await reaches(page, "over");
  const ids = await page.locator("#findings li[data-id]").evaluateAll((items) => items.map((item) => item.dataset.id));
  const report = await page.locator("#report").inputValue();
  const seen = JSON.parse(report.split("Observations:\n")[1]);
  return { ids: ids.sort(), report, seen };
}

/** Waits until the doctor is there. The page's policy lets nothing be evaluated in it. */
export function reaches(page, phase) {
  return page.locator(`html[data-phase="${phase}"]`).waitFor({ state: "attached", timeout: VISIT_MS });
}

async function load(page, url) {
  for (let loads = 1; ; loads += 1) {
    try {
      return await page.goto(url);
    } catch (error) {
      if (loads === LOADS) throw error;
    }
  }
}

/** What is but a moment has to happen while somebody looks. */
function happensLater({ begin, faults, awayMs }) {
  return Boolean(awayMs) || (begin === "freeze" && faults.length === 0);
}

async function begin(faults, { awayMs, faults: set }) {
  if (!awayMs) return freeze(faults);
  await faults.set(set);
  await pause(awayMs);
  await faults.lift();
}

function proxyOf({ forward, port }) {
  // Else a browser asks no proxy for what is on its own machine.
  return forward && { server: `http://127.0.0.1:${forward}`, bypass: "<-loopback>" };
}
