// What the configurations beside this file let through, before a server that answers as lapwing does.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { WebSocket, WebSocketServer } from "ws";
import { findProgram, startProxyProgram } from "../clients/support/proxies.js";
import { root } from "../clients/support/testbed.js";

/** The largest body that a mount takes. */
const BODY_BYTES = 13_400_000;

let server;
let target;
/** The HTTP version of the last request, as the server saw it. */
let version;

before(async () => {
  server = http.createServer((request, response) => {
    version = request.httpVersion;
    if (request.url.endsWith("/sse")) {
      stream(response);
      return;
    }
    let bytes = 0;
    request.on("data", (chunk) => (bytes += chunk.length));
    request.on("end", () => response.end(`${request.method} ${bytes} ${request.headers.host}`));
  });
  new WebSocketServer({ server }).on("connection", (socket) => {
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  target = server.address().port;
});

after(() => {
  server.close();
  server.closeAllConnections();
});

/** How far events are apart. */
const APART_MS = 1_000;

/** An event now and then, which says when it was sent. */
function stream(response) {
  response.writeHead(200, {
    "content-type": "text/event-stream",
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",
  });
  const timer = setInterval(() => response.write(`data: ${Date.now()}\n\n`), APART_MS);
  response.on("close", () => clearInterval(timer));
}

/** Runs tests with a proxy of this name; `at` makes the options of a request to a path. */
function withProxy(name, tests) {
  describe(name, () => {
    let proxy;
    before(async () => {
      proxy = await startProxyProgram(name, target);
    });
    after(() => proxy.stop());
    const isForward = name === "squid";
    const at = (path) => ({
      host: "127.0.0.1",
      port: proxy.port,
      path: isForward ? `http://127.0.0.1:${target}${path}` : path,
      headers: { host: isForward ? `127.0.0.1:${target}` : `chat.example:${proxy.port}` },
      agent: false,
    });
    tests(at, () => proxy.port);
  });
}

async function ask(options, body = "") {
  const request = http.request(options);
  // A proxy that refuses a body may close before it has read all of it.
  const failed = once(request, "error").then(([error]) => Promise.reject(error));
  request.end(body);
  const [response] = await Promise.race([once(request, "response"), failed]);
  let text = "";
  response.setEncoding("utf8");
  for await (const chunk of response) text += chunk;
  return { status: response.statusCode, text };
}

/**
 * How late an event comes, in milliseconds: the one in the middle of three. A proxy that holds them back lets them all come with
 * the last, when two are late; a machine that was late was it once.
 */
async function lateness(options) {
  const request = http.get(options);
  const [response] = await once(request, "response");
  response.setEncoding("utf8");
  const late = [];
  for await (const chunk of response) {
    for (const [, sent] of chunk.matchAll(/data: (\d+)/g)) late.push(Date.now() - Number(sent));
    if (late.length >= 3) break;
  }
  return late.sort((one, other) => one - other)[1];
}

/** What comes back over a WebSocket. */
async function echo(socket) {
  await once(socket, "open");
  socket.send("there and back");
  const [data] = await once(socket, "message");
  socket.terminate();
  return data.toString();
}

const post = { method: "POST" };

withProxy("nginx-default", (at, port) => {
  test("passes requests on as HTTP/1.0", async () => {
    assert.equal((await ask(at("/"))).text, `GET 0 127.0.0.1:${target}`);
    assert.equal(version, "1.0");
  });
  test("makes a plain request of an upgrade", async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${port()}/websocket`);
    const [, response] = await once(socket, "unexpected-response");
    assert.equal(response.statusCode, 200);
    socket.on("error", () => {});
    socket.terminate();
  });
  test("passes events on at once, since it is told to", async () => {
    assert.ok((await lateness(at("/sse"))) < APART_MS, "each comes before the next is sent");
  });
  test("refuses a body of more than a megabyte", async () => {
    const refused = await ask({ ...at("/"), ...post }, Buffer.alloc(1_500_000)).catch((error) => error);
    assert.ok(refused.status === 413 || refused.code === "EPIPE" || refused.code === "ECONNRESET", refused);
    assert.equal((await ask({ ...at("/"), ...post }, Buffer.alloc(1_000_000))).status, 200);
  });
});

for (const name of ["nginx", "haproxy"]) {
  withProxy(name, (at, port) => {
    test("passes requests on as they came", async () => {
      assert.equal((await ask(at("/"))).text, `GET 0 chat.example:${port()}`);
      assert.equal(version, "1.1");
    });
    test("passes WebSockets on", async () => {
      assert.equal(await echo(new WebSocket(`ws://127.0.0.1:${port()}/websocket`)), "there and back");
    });
    test("passes events on at once", async () => {
      assert.ok((await lateness(at("/sse"))) < APART_MS, "each comes before the next is sent");
    });
    test("takes the largest body that there is", async () => {
      const { text } = await ask({ ...at("/"), ...post }, Buffer.alloc(BODY_BYTES));
      assert.match(text, new RegExp(`^POST ${BODY_BYTES} `));
    });
  });
}

withProxy("haproxy-short", (at, port) => {
  test("passes WebSockets on", async () => {
    assert.equal(await echo(new WebSocket(`ws://127.0.0.1:${port()}/websocket`)), "there and back");
  });
  test("holds each event back for a fifth of a second", async () => {
    const late = await lateness(at("/sse"));
    assert.ok(late > 100, `late by ${late}: is \`option http-no-delay\` not needed any more?`);
  });
});

withProxy("squid", (at, port) => {
  test("passes plain requests and events on", async () => {
    assert.equal((await ask(at("/"))).text, `GET 0 127.0.0.1:${target}`);
    assert.ok((await lateness(at("/sse"))) < APART_MS, "each comes before the next is sent");
  });
  test("passes WebSockets on in a tunnel", async () => {
    const host = `127.0.0.1:${target}`;
    const request = http.request({ host: "127.0.0.1", port: port(), method: "CONNECT", path: host }).end();
    const [response, tunnel] = await once(request, "connect");
    assert.equal(response.statusCode, 200);
    const socket = new WebSocket(`ws://${host}/websocket`, { createConnection: () => tunnel });
    assert.equal(await echo(socket), "there and back");
  });
  test("serves nothing but the target", async () => {
    assert.equal((await ask({ ...at("/"), path: `http://127.0.0.1:${port()}/` })).status, 403);
  });
});

test("the documentation has the configurations that are tested", () => {
  const documentation = readFileSync(join(root, "docs/proxies.md"), "utf8");
  for (const file of ["nginx.conf", "haproxy.cfg"]) {
    const lines = readFileSync(join(root, "tests/proxies", file), "utf8").split("\n");
    const [first, last] = [lines.findIndex(isDashes), lines.findLastIndex(isDashes)];
    const indent = lines[first].search(/\S/);
    const snippet = lines.slice(first + 1, last).map((line) => line.slice(indent));
    const text = snippet.join("\n").replace("{{listen}}", "*:80").replace("{{target}}", "127.0.0.1:4000");
    assert.ok(documentation.includes(text), `${file} is not what docs/proxies.md shows:\n${text}`);
  }
});

function isDashes(line) {
  return line.trim() === "# ----";
}

test("a program that is missing is named with its package", () => {
  assert.throws(() => findProgram("haproxy", []), /haproxy is missing: .*apt-get install haproxy/);
});
