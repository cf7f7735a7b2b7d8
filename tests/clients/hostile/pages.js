// The client under test in the pages of any engine.

import { see } from "../engines/engine.js";

const METHODS = ["connect", "push", "rest", "mark", "record", "status", "deed", "wander", "leave"];

/** A page has room for many clients, each behind proxies of its own. */
const PAGES = 2;

/** What a scenario needs to open clients in the pages of an engine. */
export async function pageWorld(testbed, engine, files) {
  const pages = await Promise.all(Array.from({ length: PAGES }, () => openPage(engine, files)));
  let turn = 0;
  const open = ({ options = {}, peer }) => remote(pages[(turn += 1) % PAGES].evaluate, options, peer);
  return { testbed, open };
}

/** A page that clients can be opened in. */
export async function openPage(engine, files) {
  const page = await engine.newPage();
  await page.goto(files.page);
  await see(page, "a page that is ready", () => typeof window.call === "function");
  return page;
}

/** A `Peer` in a page. `evaluate` runs a function there. */
export async function remote(evaluate, options, peer) {
  const id = await evaluate((options, peer) => window.open(options, peer), options, peer);
  const call = (method) => (...args) => evaluate((id, method, args) => window.call(id, method, args), id, method, args);
  return Object.fromEntries(METHODS.map((method) => [method, call(method)]));
}
