// Frames of HTTP/2 as an attacker writes them: any size, any order, in one write.

import { connect, write } from "./wire.js";

const [DATA, HEADERS, RST_STREAM, SETTINGS, PING] = [0x0, 0x1, 0x3, 0x4, 0x6];
const [END_STREAM, ACK, END_HEADERS] = [0x1, 0x1, 0x4];
const CANCEL = 8;

function frame(type, flags, stream, payload = Buffer.alloc(0)) {
  const bytes = Buffer.alloc(9 + payload.length);
  bytes.writeUIntBE(payload.length, 0, 3);
  bytes[3] = type;
  bytes[4] = flags;
  bytes.writeUInt32BE(stream, 5);
  payload.copy(bytes, 9);
  return bytes;
}

/** A field as a literal that is not indexed. Names and values are short. */
function field(name, value) {
  if (name.length > 126 || value.length > 126) throw new Error("a long field has another form");
  return Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)]);
}

/** The fields of a POST. */
export const post = (path) => fieldsOf({ ":method": "POST", ...PLACE, ":path": path });

/** The fields of a WebSocket's handshake. */
export const upgrade = (path) =>
  fieldsOf({ ":method": "CONNECT", ":protocol": "websocket", ...PLACE, ":path": path, "sec-websocket-version": "13" });

const PLACE = { ":scheme": "http", ":authority": "x" };

function fieldsOf(fields) {
  return Buffer.concat(Object.entries(fields).map(([name, value]) => field(name, value)));
}

export const headers = (stream, fields) => frame(HEADERS, END_HEADERS, stream, fields);
export const data = (stream, bytes) => frame(DATA, 0, stream, Buffer.from(bytes));
export const lastData = (stream, bytes) => frame(DATA, END_STREAM, stream, Buffer.from(bytes));

export function reset(stream) {
  const code = Buffer.alloc(4);
  code.writeUInt32BE(CANCEL);
  return frame(RST_STREAM, 0, stream, code);
}

/** So many DATA frames of one byte each, in one piece. */
export function oneByteEach(stream, count) {
  const one = data(stream, "x");
  const all = Buffer.alloc(one.length * count);
  for (let n = 0; n < count; n += 1) one.copy(all, n * one.length);
  return all;
}

/** Begins a connection: its settings are said and the server's acknowledged, pings are answered, all else is ignored. */
export async function begin(port) {
  const socket = await connect(port);
  let rest = Buffer.alloc(0);
  socket.on("data", (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= 9) {
      const length = rest.readUIntBE(0, 3);
      if (rest.length < 9 + length) return;
      const [type, flags] = [rest[3], rest[4]];
      if (type === SETTINGS && !(flags & ACK)) socket.write(frame(SETTINGS, ACK, 0));
      if (type === PING && !(flags & ACK)) socket.write(frame(PING, ACK, 0, rest.subarray(9, 9 + length)));
      rest = rest.subarray(9 + length);
    }
  });
  await write(socket, Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(SETTINGS, 0, 0)]));
  return socket;
}
