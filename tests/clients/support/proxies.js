// Real proxies in front of a port of this machine, with the configurations in tests/proxies.

import { spawn, spawnSync } from "node:child_process";
import { accessSync, chmodSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { connects, freePort } from "./ports.js";
import { root } from "./testbed.js";

/** By the name of the configuration: the program, its file, and how it is told where that is. */
const programs = {
  "nginx-default": { program: "nginx", file: "nginx-default.conf", args: nginx },
  nginx: { program: "nginx", file: "nginx.conf", args: nginx },
  "haproxy-short": { program: "haproxy", file: "haproxy-short.cfg", args: haproxy },
  haproxy: { program: "haproxy", file: "haproxy.cfg", args: haproxy },
  "nginx-http2": { program: "nginx", file: "nginx-http2.conf", args: nginx },
  "haproxy-http2": { program: "haproxy", file: "haproxy-http2.cfg", args: haproxy },
  "nginx-cluster": { program: "nginx", file: "nginx-cluster.conf", args: nginx },
  squid: { program: "squid", file: "squid.conf", args: squid },
};

function nginx(path, { dir }) {
  return ["-p", dir, "-e", "stderr", "-c", path];
}

function haproxy(path) {
  return ["-db", "-f", path];
}

/** The name keeps the shared memory of one Squid from that of another. */
function squid(path, { port }) {
  return ["-N", "-n", `lapwing${port}`, "-f", path];
}

/**
 * Starts a proxy on a free port: `nginx-default`, `nginx`, `haproxy-short`, `haproxy`, `nginx-http2`, `haproxy-http2`,
 * `nginx-cluster`, which stands before several ports, or `squid`. The last is a forward proxy, whose clients name the target
 * themselves.
 */
export async function startProxyProgram(name, targetPort) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await tryProxyProgram(name, targetPort);
    } catch (error) {
      // Somebody else may have taken the port that was free a moment ago.
      if (tries === TRIES || !/in use/i.test(error.message)) throw error;
    }
  }
}

const TRIES = 3;

async function tryProxyProgram(name, targetPort) {
  const { program, file, args } = programs[name];
  const executable = findProgram(program);
  const dir = mkdtempSync(join(tmpdir(), `lapwing-${name}-`));
  // Squid becomes another user when root starts it, and writes its log there.
  chmodSync(dir, 0o777);
  const port = await freePort();
  const servers = [targetPort].flat().map((port) => `server 127.0.0.1:${port} max_fails=0;`);
  const values = { listen: `127.0.0.1:${port}`, target: `127.0.0.1:${targetPort}`, servers: servers.join(" "), dir };
  const template = readFileSync(join(root, "tests/proxies", file), "utf8");
  if (template.includes("{{certificate}}")) values.certificate = makeCertificate(dir);
  const path = join(dir, file);
  writeFileSync(path, template.replace(/\{\{(\w+)\}\}/g, (_, word) => values[word]));

  const child = spawn(executable, args(path, { dir, port }), { stdio: ["ignore", "pipe", "pipe"] });
  const kill = () => child.kill();
  process.once("exit", kill);
  const over = new Promise((resolve) => child.once("close", resolve));
  let log = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (text) => {
      log = (log + text).slice(-20_000);
    });
  }
  const stop = async () => {
    process.off("exit", kill);
    kill();
    await over;
    rmSync(dir, { recursive: true, force: true });
  };
  try {
    await listening(child, port);
  } catch (error) {
    await stop();
    throw new Error(`${name}: ${error.message}\n${log}`);
  }
  return {
    port,
    /** The end of what it has written. */
    log: () => log,
    /** Ends it at once; its connections break. */
    stop,
  };
}

/** A file with a certificate that nobody trusts, and its key. */
function makeCertificate(dir) {
  const [key, certificate, both] = ["key.pem", "certificate.pem", "both.pem"].map((name) => join(dir, name));
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const files = ["-keyout", key, "-out", certificate, "-subj", "/CN=localhost"];
  const made = spawnSync(findProgram("openssl"), ["req", "-x509", ...kind, ...files], { encoding: "utf8" });
  if (made.status !== 0) throw new Error(`openssl made no certificate: ${made.stderr}`);
  writeFileSync(both, readFileSync(certificate, "utf8") + readFileSync(key, "utf8"));
  return both;
}

/** Where a program is. */
export function findProgram(program, folders = searched()) {
  for (const folder of folders) {
    const path = join(folder, program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // It may be in the next.
    }
  }
  throw new Error(`${program} is missing: install the Debian package \`${program}\` (apt-get install ${program})`);
}

/** Servers are often in folders that are in root's path alone. */
function searched() {
  return [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];
}

/** Waits until the program listens. */
async function listening(child, port) {
  const until = Date.now() + 30_000;
  while (Date.now() < until) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error("it has ended");
    if (await connects(port)) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error("it does not listen");
}
