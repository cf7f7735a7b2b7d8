// The client under test in the pages of a Chromium.

import { existsSync, readFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { root } from "../support/testbed.js";

const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"];
/** A page has room for many clients, each behind proxies of its own. */
const PAGES = 3;
const METHODS = ["connect", "push", "rest", "mark", "record", "status", "deed", "wander", "leave"];
const FILES = /^\/(js\/src|tests\/clients\/hostile|node_modules\/phoenix-1\.8\.16)\/[\w./-]+\.(html|m?js)$/;
const TYPES = { html: "text/html", js: "text/javascript", mjs: "text/javascript" };

/** Starts the browser, and a server of the files that its pages need. */
export async function startChromium() {
  const files = await serveFiles();
  const browser = await chromium.launch({ executablePath: chromiumPath(), args });
  const url = `http://127.0.0.1:${files.address().port}/tests/clients/hostile/page.html`;
  const newPage = async (script, proxy) => {
    const context = await browser.newContext({ proxy, ignoreHTTPSErrors: true });
    if (script) await context.addInitScript(script);
    const page = await context.newPage();
    page.on("pageerror", (error) => console.error("page error:", error));
    await page.goto(url);
    await page.waitForFunction("window.call");
    return page;
  };
  const pages = await Promise.all(Array.from({ length: PAGES }, () => newPage()));
  let turn = 0;
  return {
    /** What a scenario needs to open clients in pages; with a script, in pages of their own that it has run in before. */
    world(testbed, { script } = {}) {
      const open = async ({ path, options = {}, peer }) => {
        const proxy = path.forward && {
          server: `http://127.0.0.1:${path.forward}`,
          // Else a browser asks no proxy for what is on its own machine.
          bypass: `<-loopback>,127.0.0.1:${files.address().port}`,
        };
        const page = script || proxy ? await newPage(script, proxy) : pages[(turn += 1) % PAGES];
        const id = await page.evaluate(([options, peer]) => window.open(options, peer), [options, peer]);
        return remote(page, id);
      };
      return { testbed, open };
    },
    async stop() {
      await browser.close();
      files.closeAllConnections();
      await new Promise((resolve) => files.close(resolve));
    },
  };
}

/** A `Peer` in a page. */
function remote(page, id) {
  const call = (method) => (...args) => page.evaluate(([id, method, args]) => window.call(id, method, args), [id, method, args]);
  return Object.fromEntries(METHODS.map((method) => [method, call(method)]));
}

async function serveFiles() {
  const server = http.createServer(({ url }, response) => {
    const extension = url.match(FILES)?.[2];
    if (!extension || url.includes("..")) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": TYPES[extension] }).end(readFileSync(join(root, url)));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

function chromiumPath() {
  const path = process.env.CHROMIUM ?? "/usr/bin/chromium";
  if (!existsSync(path)) throw new Error(`${path} is missing: install Chromium, or set CHROMIUM to the program`);
  return path;
}
