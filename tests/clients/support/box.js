// A box between a client and the server that reads requests and refuses some, as proxies with limits and firewalls do.

import http from "node:http";
import net from "node:net";

/**
 * Starts a box before a port of this machine.
 *
 * `refuse({ method, url, body })` is the status that a request is answered with instead, if any; `"reset"` and `"mute"` are
 * no answers at all. A WebSocket on which the
 * client says more than `upgradedBytesMax` is reset.
 */
export async function startBox(target, { refuse = () => undefined, upgradedBytesMax = Infinity } = {}) {
  const counts = { requests: 0, refused: 0, upgrades: 0, bytes: 0 };
  const server = http.createServer((request, response) => {
    const parts = [];
    request.on("data", (part) => {
      counts.bytes += part.length;
      parts.push(part);
    });
    request.on("end", () => {
      counts.requests += 1;
      const body = Buffer.concat(parts);
      const status = refuse({ method: request.method, url: request.url, body: body.toString() });
      if (status) {
        counts.refused += 1;
        if (status === "reset") request.socket.resetAndDestroy();
        else if (status !== "mute") response.writeHead(status).end();
        return;
      }
      pass(request, response, body);
    });
  });
  const sockets = new Set();
  server.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("close", () => sockets.delete(socket));
  });

  function pass({ method, url, headers }, response, body) {
    const onward = http.request({ host: "127.0.0.1", port: target, method, path: url, headers, agent: false });
    onward.on("response", (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      response.flushHeaders();
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    onward.end(body);
  }

  server.on("upgrade", ({ url, headers }, client, head) => {
    counts.upgrades += 1;
    const upstream = net.connect(target, "127.0.0.1");
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    upstream.write(`GET ${url} HTTP/1.1\r\n${lines.join("")}\r\n`);
    upstream.write(head);
    let bytes = 0;
    client.on("data", (part) => {
      bytes += part.length;
      counts.bytes += part.length;
      if (bytes > upgradedBytesMax) client.resetAndDestroy();
      else upstream.write(part);
    });
    upstream.on("data", (part) => client.write(part));
    client.on("close", () => upstream.destroy());
    upstream.on("close", () => client.destroy()).on("error", () => {});
  });

  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: server.address().port,
    /** What came so far: requests, those refused, upgrades, and bytes from clients. */
    counts,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
