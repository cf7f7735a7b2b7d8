// Clients that break the protocol, each in its own way. A WebSocket of a browser's kind never would, so that somebody on the
// way does it: a proxy that puts bytes in front of what the client says after the handshake.

import net from "node:net";

/** Frames that no server may take, under a mask of zeros, and the code that each is answered with. */
export const BREACHES = {
  1002: Buffer.from([0xc1, 0x80, 0, 0, 0, 0]),
  1007: Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0xff]),
};

/** Starts such a proxy in front of a port. */
export async function startBreaker(port, breach) {
  const sockets = new Set();
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const upstream = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      sockets.add(from);
      from.once("close", () => sockets.delete(from));
      from.once("end", () => to.end());
      // A reset is handed on as one.
      from.on("error", () => to.resetAndDestroy());
    }
    upstream.on("data", (bytes) => client.write(bytes));
    let heads = 1;
    client.on("data", (bytes) => {
      if (heads-- === 0) upstream.write(breach);
      upstream.write(bytes);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: server.address().port,
    stop: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Opens WebSockets one after the other, says something on each, and counts the codes that they are closed with. */
export async function closeCodes(WebSocket, url, message, times) {
  const codes = {};
  for (let n = 0; n < times; n += 1) {
    const code = await new Promise((resolve) => {
      const socket = new WebSocket(url);
      socket.onopen = () => socket.send(message);
      socket.onerror = () => {};
      socket.onclose = (event) => resolve(event.code);
    });
    codes[code] = (codes[code] ?? 0) + 1;
  }
  return codes;
}
