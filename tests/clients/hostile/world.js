// The client under test in this process.

import http from "node:http";
import { Readable } from "node:stream";
import { Socket } from "phoenix-1.8.16";
import WebSocket from "ws";
import { Lapwing } from "../../../js/src/index.js";
import { Peer } from "./peer.js";

/** What a scenario needs to open clients in Node. */
export function nodeWorld(testbed) {
  const open = ({ path, options, peer }) => {
    const transport = Lapwing.with({ WebSocket, ...(path.forward ? through(path.forward) : {}), ...options });
    return new Peer({ Socket, transport, ...peer });
  };
  return { testbed, open };
}

/** The options of a transport that goes through a forward proxy, which neither `ws` nor `fetch` do by themselves. */
function through(proxyPort) {
  const proxy = { host: "127.0.0.1", port: proxyPort };
  const agent = new http.Agent();
  agent.createConnection = ({ host, port }, done) => {
    const target = `${host}:${port}`;
    const request = http.request({ ...proxy, method: "CONNECT", path: target, headers: { host: target }, agent: false });
    request.once("connect", (_, tunnel) => done(null, tunnel));
    request.once("error", done);
    request.end();
  };
  class Tunnelled extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols, { agent });
    }
  }
  return { WebSocket: Tunnelled, fetch: (url, options) => fetchThrough(proxy, url, options) };
}

function fetchThrough(proxy, url, { method, headers, body, signal }) {
  return new Promise((resolve, reject) => {
    const { host } = new URL(url);
    const request = http.request({ ...proxy, method, path: url, headers: { ...headers, host }, signal });
    request.once("error", reject);
    request.once("response", (response) => {
      resolve(new Response(Readable.toWeb(response), { status: response.statusCode }));
    });
    request.end(body);
  });
}
