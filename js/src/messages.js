// Phoenix's messages on the wire 2.0.0, as far as a transport has to read and write them. Pure.

const STRING = String.raw`"[^"\\]*(?:\\.[^"\\]*)*"`;
const NAME = String.raw`\s*(null|${STRING})\s*,`;
/** A text up to its payload: join ref, ref, topic, event. */
const HEAD = new RegExp(String.raw`^\s*\[${NAME.repeat(4)}`);

/** What the bytes of each kind begin with: a length for each of these, then they themselves. */
const SENT = { 0: ["joinRef", "ref", "topic", "event"] };
const RECEIVED = { 0: ["joinRef", "topic", "event"], 1: ["joinRef", "ref", "topic", "status"], 2: ["topic", "event"] };

/** The names in a message that a client sends, or `null` if it is no such message: `{ joinRef, ref, topic, event }`. */
export function headOfSent(frame) {
  return typeof frame === "string" ? headOfText(frame) : headOfBytes(frame, SENT);
}

/** The names in a message that a server sends. */
export function headOfReceived(frame) {
  return typeof frame === "string" ? headOfText(frame) : headOfBytes(frame, RECEIVED);
}

/** The payload of a text; bytes have none that can be read here. */
export function payloadOf(frame) {
  return typeof frame === "string" ? JSON.parse(frame)[4] : {};
}

export function write(joinRef, ref, topic, event, payload = {}) {
  return JSON.stringify([joinRef, ref, topic, event, payload]);
}

function headOfText(text) {
  const found = HEAD.exec(text);
  if (!found) return null;
  const [joinRef, ref, topic, event] = found.slice(1).map(nameOf);
  return { joinRef, ref, topic, event };
}

// Hardly any name has an escape in it.
function nameOf(text) {
  if (text === "null") return null;
  return text.includes("\\") ? JSON.parse(text) : text.slice(1, -1);
}

function headOfBytes(buffer, kinds) {
  const bytes = new Uint8Array(buffer);
  const names = kinds[bytes[0]];
  if (!names || bytes.length <= names.length) return null;
  const decoder = new TextDecoder();
  const head = { joinRef: null, ref: null };
  let at = 1 + names.length;
  names.forEach((name, index) => {
    const end = at + bytes[1 + index];
    head[name] = decoder.decode(bytes.subarray(at, end));
    at = end;
  });
  if ("status" in head) head.event = "phx_reply";
  return head;
}
