// WebKitGTK, by its WebDriver: commands over HTTP, for one window at a time. It has no mode without a screen, so it gets one.

import { findBrowser, findMiniBrowser } from "../support/browsers.js";
import { freePort } from "../support/ports.js";
import { pause, until } from "../support/wait.js";
import { startChild } from "./child.js";
import { expressionOf } from "./expression.js";

const START_MS = 60_000;
const POLL_MS = 10;

export async function startWebkitEngine() {
  const screen = startChild(findBrowser("display"), ["-displayfd", "3", "-screen", "0", "1280x900x24", "-nolisten", "tcp"], {
    extra: ["pipe"],
  });
  const [, display] = await screen.said(/^(\d+)\n/m);
  const port = await freePort();
  const driver = startChild(findBrowser("webkitDriver"), [`--port=${port}`], { env: { DISPLAY: `:${display}` } });
  const command = commandsTo(`http://127.0.0.1:${port}`);
  await until("WebKitWebDriver is up", () => command("GET", "/status").then(() => true, () => false), START_MS);
  const options = { binary: findMiniBrowser(), args: ["--automation"] };
  const capabilities = { alwaysMatch: { acceptInsecureCerts: true, "webkitgtk:browserOptions": options } };
  const { sessionId } = await command("POST", "/session", { capabilities });
  const ask = (method, path, body) => command(method, `/session/${sessionId}${path}`, body);

  // A command is for the window that was chosen last.
  let last = Promise.resolve();
  const inWindow = (handle, deed) => {
    const done = last.then(async () => {
      await ask("POST", "/window", { handle });
      return deed();
    });
    last = done.catch(() => {});
    return done;
  };
  // The window that was there first stays: in one that is closed, nothing can be asked for, not even another.
  const home = await ask("GET", "/window");
  return {
    async newPage() {
      const { handle } = await inWindow(home, () => ask("POST", "/window/new", { type: "window" }));
      const run = (script) => inWindow(handle, () => ask("POST", "/execute/sync", { script, args: [] }));
      return {
        goto: (url) => inWindow(handle, () => ask("POST", "/url", { url })),
        reload: () => inWindow(handle, () => ask("POST", "/refresh", {})),
        back: () => inWindow(handle, () => ask("POST", "/back", {})),
        evaluate: (deed, ...args) => evaluate(run, expressionOf(deed, args)),
        close: () => inWindow(handle, () => ask("DELETE", "/window")),
      };
    },
    async stop() {
      await ask("DELETE", "").catch(() => {});
      await driver.stop();
      await screen.stop();
    },
  };
}

let calls = 0;

/** The driver would wait for a promise, and no other window would get its turn meanwhile: so the page keeps what comes of it. */
async function evaluate(run, expression) {
  const id = (calls += 1);
  const begin = `
    const calls = (window.driven ??= {});
    ${expression}.then((json) => (calls[${id}] = { json }), (error) => (calls[${id}] = { error: String(error?.stack ?? error) }));`;
  await run(begin);
  for (;;) {
    const outcome = await run(`const calls = window.driven; if (!calls) return { gone: true };
      const outcome = calls[${id}]; delete calls[${id}]; return outcome ?? null;`);
    if (outcome?.gone) throw new Error("the page has gone elsewhere meanwhile");
    if (outcome?.error) throw new Error(`in the page: ${outcome.error}`);
    if (outcome) return JSON.parse(outcome.json);
    await pause(POLL_MS);
  }
}

function commandsTo(base) {
  return async (method, path, body) => {
    const response = await fetch(base + path, { method, body: body && JSON.stringify(body) });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`WebKit: ${value.error}, ${value.message}`);
    return value;
  };
}
