// HTTP/2 to the client, HTTP/1.1 to us: what nginx and HAProxy make of it, before a real server.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { startProxyProgram } from "../clients/support/proxies.js";
import { root, startTestbed } from "../clients/support/testbed.js";
import { until, within } from "../clients/support/wait.js";

const SSE = "/socket/sse?lapwing=1&vsn=2.0.0";
const LONGPOLL = "/socket/longpoll?lapwing=1&vsn=2.0.0";
const JOIN = '["1","1","room:h2","phx_join",{}]';

let testbed;

before(async () => {
  testbed = await startTestbed();
});

after(() => testbed.stop());

for (const name of ["nginx-http2", "haproxy-http2"]) {
  describe(name, () => {
    let proxy, session;

    before(async () => {
      proxy = await startProxyProgram(name, testbed.port);
      session = http2.connect(`https://localhost:${proxy.port}`, { rejectUnauthorized: false });
      await within("the settings of the proxy", once(session, "remoteSettings"));
    });

    after(async () => {
      session?.destroy();
      await proxy?.stop();
    });

    test("speaks HTTP/2 to the client", () => assert.equal(session.alpnProtocol, "h2"));

    test("passes events on at once, and POSTs and polls beside them", async () => {
      const events = post(SSE, "!open 30000");
      const token = (await event(events)).split(" ")[1];
      const answer = await whole(post(SSE, `!send ${token}\n!from 1\n${JOIN}`));
      assert.equal(answer, "!ack 1\n");
      assert.match(await event(events), /"status":"ok"/);
      const opened = await whole(post(LONGPOLL, "!open 30000"));
      const polled = await whole(post(LONGPOLL, `!resume ${opened.split(" ")[1]} 0 0\n!from 1\n${JOIN}`));
      assert.match(polled, /^!resumed 1\n/);
      events.close();
    });

    test("holds many event streams on one connection", async () => {
      const streams = Array.from({ length: 200 }, () => post(SSE, "!open 30000"));
      for (const stream of streams) assert.match(await event(stream), /^!opened /);
      for (const stream of streams) stream.close();
    });

    if (name === "haproxy-http2") {
      test("passes WebSockets on as streams of the same connection", async () => {
        assert.ok(session.remoteSettings.enableConnectProtocol);
        const stream = session.request({
          ":method": "CONNECT",
          ":protocol": "websocket",
          ":path": "/socket/websocket?vsn=2.0.0",
          "sec-websocket-version": "13",
        });
        const [headers] = await within("an answer", once(stream, "response"));
        assert.equal(headers[":status"], 200);
        // A frame with a mask of zeros.
        stream.write(Buffer.concat([Buffer.from([0x81, 0x80 | JOIN.length, 0, 0, 0, 0]), Buffer.from(JOIN)]));
        const [reply] = await within("a reply", once(stream, "data"));
        assert.match(reply.toString(), /"status":"ok"/);
        stream.close();
      });
    } else {
      test("has no WebSockets in HTTP/2, so browsers open another connection for them", () => {
        assert.ok(!session.remoteSettings.enableConnectProtocol);
      });
    }

    test("passes WebSockets on that come over HTTP/1.1", async () => {
      const url = `wss://localhost:${proxy.port}/socket/websocket?vsn=2.0.0`;
      const socket = new WebSocket(url, { rejectUnauthorized: false });
      await within("an open WebSocket", once(socket, "open"));
      socket.send(JOIN);
      const [reply] = await within("a reply", once(socket, "message"));
      assert.match(reply.toString(), /"status":"ok"/);
      socket.terminate();
    });

    function post(path, body) {
      const stream = session.request({ ":method": "POST", ":path": path });
      stream.setEncoding("utf8");
      stream.text = "";
      stream.on("data", (piece) => (stream.text += piece));
      // Closed by the test while the proxy still writes.
      stream.on("error", () => {});
      stream.end(body);
      return stream;
    }
  });
}

/** The data of the next event. */
async function event(stream) {
  const found = await until("an event", () => stream.text.match(/^(?::[^\n]*\n\n)*data: ([^\n]*)\n\n/), 2_000);
  stream.text = stream.text.slice(found[0].length);
  return found[1];
}

async function whole(stream) {
  await within("the end of an answer", once(stream, "end"));
  return stream.text;
}

test("the documentation has the configurations that are tested", () => {
  const documentation = readFileSync(join(root, "docs/proxies.md"), "utf8");
  for (const [file, lines] of [
    ["nginx-http2.conf", /listen .*|ssl_certificate.*|http2_max_concurrent.*|keepalive_requests.*/g],
    ["haproxy-http2.cfg", /bind .*|tune\.h2.*/g],
  ]) {
    const text = readFileSync(join(root, "tests/proxies", file), "utf8");
    for (const [line] of text.matchAll(lines)) {
      const shown = line.replace("{{listen}}", "*:443").replace("{{certificate}}", "/etc/ssl/chat.example.pem");
      assert.ok(documentation.includes(shown), `docs/proxies.md does not show ${shown}`);
    }
  }
});
