// A proxy on TCP whose connections can be cut, as a network does it.

import net from "node:net";

/** Starts a proxy before a port of this machine. */
export async function startProxy(target) {
  const pairs = new Set();
  let isDown = false;
  const server = net.createServer((client) => {
    if (isDown) {
      client.resetAndDestroy();
      return;
    }
    const upstream = net.connect(target, "127.0.0.1");
    const pair = { client, upstream };
    pairs.add(pair);
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      from.setNoDelay(true);
      from.pipe(to);
      // The other side learns of it by the close that follows.
      from.on("error", () => {});
      from.on("close", () => {
        to.destroy();
        pairs.delete(pair);
      });
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    for (const { client, upstream } of pairs) {
      client.resetAndDestroy();
      upstream.destroy();
    }
    pairs.clear();
  };
  return {
    port: server.address().port,
    connections: () => pairs.size,
    /** Resets all connections; new ones are let through. */
    cut,
    /** Resets all connections, and each new one until `up`. */
    down() {
      isDown = true;
      cut();
    },
    up() {
      isDown = false;
    },
    async stop() {
      isDown = true;
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
