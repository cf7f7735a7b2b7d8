// Event streams and polls as gzip behind real proxies, before the testbed: what arrives, and that none of it waits for what comes next.

import assert from "node:assert/strict";
import http from "node:http";
import { once } from "node:events";
import { after, before, describe, test } from "node:test";
import { createGunzip, constants, gunzipSync } from "node:zlib";
import { MOUNT } from "../clients/support/deflated.js";
import { startProxyProgram } from "../clients/support/proxies.js";
import { startTestbed } from "../clients/support/testbed.js";
import { until, within } from "../clients/support/wait.js";

/** Some kilobytes that shrink, other ones each time. */
const payload = (seed) => ({ rows: Array.from({ length: 40 }, (_, id) => ({ id: id * seed, status: ["open", "done"][id % 2], owner: `user-${id % 7}` })) });

let testbed;
before(async () => {
  testbed = await startTestbed();
});
after(() => testbed.stop());

for (const name of ["nginx-default", "nginx", "haproxy", "squid"]) {
  describe(name, () => {
    let proxy;
    before(async () => {
      proxy = await startProxyProgram(name, testbed.port);
    });
    after(() => proxy.stop());

    /** A POST to a transport, through the proxy. */
    async function post(transport, body) {
      const path = `${MOUNT}/${transport}?lapwing=1&vsn=2.0.0`;
      const isForward = name === "squid";
      const request = http.request({
        host: "127.0.0.1",
        port: proxy.port,
        path: isForward ? `http://${testbed.address}${path}` : path,
        headers: { host: testbed.address, "accept-encoding": "gzip" },
        method: "POST",
        agent: false,
      });
      request.end(body);
      const [response] = await within("an answer", once(request, "response"));
      return response;
    }

    async function whole(response) {
      const chunks = await within("the whole answer", response.toArray());
      const body = Buffer.concat(chunks);
      const isGzip = response.headers["content-encoding"] === "gzip";
      return { isGzip, bytes: body.length, text: (isGzip ? gunzipSync(body) : body).toString() };
    }

    /** A session that has joined a room, and how it says something. */
    async function opened(topic) {
      const { text } = await whole(await post("longpoll", "!open 30000"));
      const token = text.split(" ")[1];
      let number = 0;
      const say = async (event, payload) => {
        number += 1;
        const line = JSON.stringify(["1", String(number), topic, event, payload]);
        await whole(await post("longpoll", `!send ${token}\n!from ${number}\n${line}`));
      };
      await say("phx_join", {});
      return { token, say };
    }

    test("answers to polls arrive as they were encoded", async () => {
      const { token, say } = await opened(`room:${name}-polls`);
      await whole(await post("longpoll", `!resume ${token} 0 30000`));
      await say("ping", payload(3));
      const { isGzip, bytes, text } = await whole(await post("longpoll", `!resume ${token} 1 30000`));
      assert.deepEqual(JSON.parse(text.split("\n")[1])[4].response, payload(3));
      // nginx as it comes asks with HTTP/1.0, and hands on what it gets all the same.
      assert.ok(isGzip && bytes < 0.5 * text.length, `${bytes} of ${text.length}`);
    });

    test("each event of a stream comes at once", async () => {
      const { token, say } = await opened(`room:${name}-events`);
      const response = await post("sse", `!resume ${token} 0 30000`);
      assert.equal(response.headers["content-encoding"], "gzip");
      const gunzip = response.pipe(createGunzip({ flush: constants.Z_SYNC_FLUSH }));
      gunzip.setEncoding("utf8");
      let text = "";
      gunzip.on("data", (more) => (text += more));
      // Nothing more is said until this has come: what is held back for more would never come.
      const saw = (what, from = 0) => until(what, () => text.includes(what, from));
      await saw("!resumed ");
      for (let seed = 1; seed <= 5; seed += 1) {
        const large = JSON.stringify(payload(seed)).slice(1, -1);
        await say("ping", payload(seed));
        await saw(large);
        await saw("\n\n", text.indexOf(large));
        await say("ping", { seed });
        await saw(`{"seed":${seed}}`);
      }
      response.destroy();
    });
  });
}
