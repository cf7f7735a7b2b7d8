// The way from one client to the server: the proxy with faults, and perhaps a real one.

import { startFaults } from "../../../faults/client.js";
import { startProxyProgram } from "../support/proxies.js";

/** Clients remember of each port how it is there, so none may have been another's. */
const ports = new Set();

/**
 * Starts the boxes between a client and the testbed. `port` is what the client connects to.
 *
 * A reverse proxy stands behind the faults, and a forward proxy, at `forward`, before them: what a client does to reach it is
 * then the program's own business.
 */
export async function startPath(testbed, { program, seed } = {}) {
  const isForward = program === "squid";
  const reverse = program && !isForward ? await startProxyProgram(program, testbed.port) : undefined;
  const faults = await startFaultsAnew(reverse?.port ?? testbed.port, { seed });
  const forward = isForward ? await startProxyProgram(program, faults.port) : undefined;
  return {
    faults,
    port: faults.port,
    forward: forward?.port,
    // Where HTTP/2 is spoken, it is over TLS.
    origin: program?.endsWith("-http2") ? `wss://localhost:${faults.port}` : undefined,
    async stop() {
      await forward?.stop();
      await faults.stop();
      await reverse?.stop();
    },
  };
}

async function startFaultsAnew(target, options) {
  const faults = await startFaults(target, options);
  if (!ports.has(faults.port)) {
    ports.add(faults.port);
    return faults;
  }
  try {
    return await startFaultsAnew(target, options);
  } finally {
    await faults.stop();
  }
}

/** Freezes all connections that are open, and lets new ones through: a NAT that forgot its table. */
export async function freeze(faults, then = []) {
  await faults.freeze();
  await faults.set(then);
}
