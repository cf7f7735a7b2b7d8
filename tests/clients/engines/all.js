// What every engine is put through. It is short; Chromium has the full set besides.

import { after, before } from "node:test";
import { serveFiles } from "../hostile/files.js";
import { pageWorld } from "../hostile/pages.js";
import { suite } from "../hostile/suite.js";
import { lastWords } from "../support/lastwords.js";
import { startTestbed } from "../support/testbed.js";
import { demo } from "./demo.js";
import { startEngine } from "./engine.js";
import { goodbyes } from "./goodbyes.js";

/** One of each kind: connections, WebSockets, streams and responses that are not let through. */
const networks = [
  "connections are killed after 300 ms",
  "connections go half-open",
  "half-open under SSE",
  "half-open under long-poll",
  "the upgrade is stripped",
  "event streams are mute",
];
/** Its pages share one driver, and the machine with all else. */
const CONCURRENCY = 4;

export function all(name) {
  /** Filled in before the first test runs. */
  const engine = { name };
  let world;
  before(async () => {
    [engine.testbed, engine.files, engine.browser] = await Promise.all([startTestbed(), serveFiles(), startEngine(name)]);
    world = await pageWorld(engine.testbed, engine.browser, engine.files);
  });
  after(async () => {
    await engine.browser?.stop();
    await engine.files?.stop();
    await engine.testbed?.stop();
  });
  demo(engine);
  goodbyes(engine);
  // Chromium says its own in tests/clients/browser. WebKit keeps a page that goes elsewhere, and its session with it.
  // Of two that wait with more than a browser lets go, one was not seen to leave within 30 s in one of five runs.
  if (name === "firefox") lastWords({ name, newPage: () => engine.browser.newPage() }, { overLimit: false });
  suite(`${name}, in short`, () => world, { only: networks, concurrency: CONCURRENCY });
}
