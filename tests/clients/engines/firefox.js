// Firefox as it comes, by WebDriver BiDi: commands and answers in JSON over a WebSocket.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";
import { findBrowser } from "../support/browsers.js";
import { startChild } from "./child.js";
import { expressionOf } from "./expression.js";

/** What keeps a new profile from asking the network, or its user, for anything. */
const PREFERENCES = {
  "app.normandy.enabled": false,
  "app.update.disabledForTesting": true,
  "browser.aboutwelcome.enabled": false,
  "datareporting.policy.dataSubmissionEnabled": false,
  "network.captive-portal-service.enabled": false,
  "network.connectivity-service.enabled": false,
  "remote.prefs.recommended": true,
  "toolkit.telemetry.reportingpolicy.firstRun": false,
};

export async function startFirefoxEngine() {
  const profile = mkdtempSync(join(tmpdir(), "lapwing-firefox-"));
  const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref("${name}", ${value});\n`);
  writeFileSync(join(profile, "user.js"), lines.join(""));
  const args = ["--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0", "about:blank"];
  const firefox = startChild(findBrowser("firefox"), args);
  const [, url] = await firefox.said(/WebDriver BiDi listening on (ws:\S+)/);
  const { ask, close } = await connect(`${url}/session`);
  await ask("session.new", { capabilities: { alwaysMatch: { acceptInsecureCerts: true } } });
  return {
    async newPage() {
      const { context } = await ask("browsingContext.create", { type: "window" });
      return {
        goto: (url) => ask("browsingContext.navigate", { context, url, wait: "complete" }),
        reload: () => ask("browsingContext.reload", { context, wait: "complete" }),
        back: () => ask("browsingContext.traverseHistory", { context, delta: -1 }),
        async evaluate(run, ...args) {
          const expression = expressionOf(run, args);
          const answer = await ask("script.evaluate", { expression, target: { context }, awaitPromise: true });
          if (answer.type === "exception") throw new Error(`in the page: ${answer.exceptionDetails.text}`);
          return JSON.parse(answer.result.value);
        },
        close: () => ask("browsingContext.close", { context }),
      };
    },
    async stop() {
      close();
      await firefox.stop();
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** The connection: `ask` sends a command and returns its result. */
async function connect(url) {
  const socket = new WebSocket(url);
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  const waiting = new Map();
  let commands = 0;
  socket.on("message", (text) => {
    const { id, type, result, error, message } = JSON.parse(text);
    const { resolve, reject } = waiting.get(id) ?? {};
    waiting.delete(id);
    if (type === "success") resolve?.(result);
    else if (type === "error") reject?.(new Error(`Firefox: ${error}, ${message}`));
  });
  socket.on("close", () => {
    for (const { reject } of waiting.values()) reject(new Error("Firefox is gone"));
  });
  const ask = (method, params) =>
    new Promise((resolve, reject) => {
      const id = (commands += 1);
      waiting.set(id, { resolve, reject });
      socket.send(JSON.stringify({ id, method, params }));
    });
  return { ask, close: () => socket.terminate() };
}
