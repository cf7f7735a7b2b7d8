// What attackers say, byte by byte: HTTP/1.1 and WebSocket frames without a client's manners.

import http from "node:http";
import net from "node:net";
import { once } from "node:events";

/** A connection that shrugs off its end. What comes is thrown away, or not read at all. */
export async function connect(port, { reads = true } = {}) {
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
  socket.on("error", () => {});
  if (reads) socket.resume();
  else socket.pause();
  await Promise.race([once(socket, "connect"), once(socket, "close")]).catch(() => {});
  return socket;
}

/** Writes, and waits until there is room for more or the connection is over. Returns whether it is not. */
export async function write(socket, bytes) {
  if (socket.destroyed || !socket.writable) return false;
  if (socket.write(bytes)) return true;
  await new Promise((resolve) => {
    const settle = () => {
      socket.off("drain", settle).off("close", settle);
      resolve();
    };
    socket.on("drain", settle).on("close", settle);
  });
  return !socket.destroyed;
}

/** The head of a request. */
export function head(method, path, headers = {}) {
  const lines = Object.entries({ Host: "x", ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

/** The head of a WebSocket's handshake. */
export function upgrade(path, headers = {}) {
  return head("GET", path, {
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    ...headers,
  });
}

/** A text message as one frame. Its mask is zero, so that the bytes stand there as they are. */
export function text(message) {
  const bytes = Buffer.from(message);
  const length = bytes.length;
  if (length < 126) return Buffer.concat([Buffer.from([0x81, 0x80 | length, 0, 0, 0, 0]), bytes]);
  const header = length < 65_536 ? Buffer.alloc(8) : Buffer.alloc(14);
  header[0] = 0x81;
  if (length < 65_536) {
    header[1] = 0x80 | 126;
    header.writeUInt16BE(length, 2);
  } else {
    header[1] = 0x80 | 127;
    header.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([header, bytes]);
}

/** Requests over connections that are kept, so many at a time. */
export function requester(port, connections) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  return (method, path, { body, headers = {} } = {}) =>
    new Promise((resolve, reject) => {
      const length = body === undefined ? {} : { "Content-Length": Buffer.byteLength(body) };
      const request = http.request({ agent, port, host: "127.0.0.1", method, path, headers: { ...length, ...headers } });
      request.on("error", reject).on("response", (response) => {
        const parts = [];
        response.on("data", (part) => parts.push(part));
        response.on("end", () => resolve({ status: response.statusCode, text: Buffer.concat(parts).toString() }));
        response.on("error", reject);
      });
      request.end(body);
    });
}

/** Opens a session of the dialect and returns its token, or nothing if it was refused. */
export async function openSession(request, path) {
  const { text: answer } = await request("POST", path, { body: "!open 30000" });
  return /^!opened (\S+)/.exec(answer)?.[1];
}

export const message = (...fields) => JSON.stringify(fields);

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)));

/** Does something again and again, so many at a time, until it is enough. */
export function again(count, until, deed) {
  const loop = async (n) => {
    while (Date.now() < until) {
      // What is refused or cut off is tried again, but not in a tight circle.
      if (!(await deed(n).catch(() => false))) await pause(20);
    }
  };
  return Promise.all(Array.from({ length: count }, (_, n) => loop(n)));
}
