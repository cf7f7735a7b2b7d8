// The files that the pages of the client under test are made of.

import { readFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { root } from "../support/testbed.js";

const FILES = /^\/(js\/src|tests\/clients\/hostile|node_modules\/phoenix-1\.8\.16)\/[\w./-]+\.(html|m?js)$/;
const TYPES = { html: "text/html", js: "text/javascript", mjs: "text/javascript" };

/** Serves them on a free port. `page` is the page with the client. */
export async function serveFiles() {
  const server = http.createServer(({ url }, response) => {
    const extension = url.match(FILES)?.[2];
    if (!extension || url.includes("..")) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": TYPES[extension] }).end(readFileSync(join(root, url)));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  return {
    port,
    page: `http://127.0.0.1:${port}/tests/clients/hostile/page.html`,
    /** A page of the same origin with nothing in it. */
    elsewhere: `http://127.0.0.1:${port}/tests/clients/hostile/blank.html`,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
