// A proxy on TCP that writes down what passes.

import net from "node:net";

/** Starts one before a port of this machine. */
export async function startRecorder(target) {
  const said = { byClients: "", byServer: "" };
  const sockets = new Set();
  const server = net.createServer((client) => {
    const upstream = net.connect(target, "127.0.0.1");
    const ways = [
      [client, upstream, "byClients"],
      [upstream, client, "byServer"],
    ];
    for (const [from, to, who] of ways) {
      sockets.add(from);
      from.on("data", (bytes) => (said[who] += bytes.toString("latin1")));
      from.pipe(to);
      // The other end learns of it by the close that follows.
      from.on("error", () => {});
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: server.address().port,
    /** What the requests have asked for: paths with their queries. */
    targets: () => [...said.byClients.matchAll(/(?:GET|POST|OPTIONS) (\S+) HTTP\/1\.[01]\r\n/g)].map(([, target]) => target),
    /** The tokens of the sessions that the server has opened. */
    tokens: () => [...said.byServer.matchAll(/!opened ([\w-]{38}) /g)].map(([, token]) => token),
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
