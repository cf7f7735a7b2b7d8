// The lines of the session dialect: frames, control lines, and nothing else. Pure.

/** The other side broke the protocol. */
export class Breach extends Error {}

/** What a client says. */
export const say = {
  open: (beat) => `!open ${beat}`,
  resume: (token, received, beat) => `!resume ${token} ${received} ${beat}`,
  send: (token) => `!send ${token}`,
  from: (first) => `!from ${first}`,
  ack: (received) => `!ack ${received}`,
  ping: "!ping",
  path: (roundTrip, failures) => `!path ${roundTrip}${failures && ` ${failures}`}`,
  close: "!close",
  ticket: "!ticket",
};

/** The arguments of what a server says. */
const SERVER_WORDS = {
  opened: { token: String, window: count, hold: count, frame: countIfAny, body: countIfAny, login: countIfAny },
  resumed: { received: count },
  refused: { reason: String, code: countIfAny, text: rest },
  ack: { received: count },
  busy: { received: countIfAny },
  ping: { received: count },
  pong: { received: count },
  superseded: {},
  closed: { code: count, reason: rest },
  ticket: { ticket: String },
  token: { token: String },
};

/** A frame, a string or an `ArrayBuffer`, as the text or the bytes of a WebSocket message. */
export function encodeMessage(frame) {
  return typeof frame === "string" && /^($|[!"*])/.test(frame) ? quote(frame) : frame;
}

/** A frame as a line of an HTTP body. */
export function encodeLine(frame) {
  if (typeof frame !== "string") return `*${toBase64(frame)}`;
  return /[\r\n]/.test(frame) ? quote(frame) : encodeMessage(frame);
}

/** What a line says: `{ control }`, `{ frame }`, or `{}` for what is to be ignored. */
export function readLine(line) {
  switch (line[0]) {
    case undefined:
      return {};
    case "!":
      return readControl(line);
    case '"':
      return { frame: readQuoted(line) };
    case "*":
      return { frame: fromBase64(line.slice(1)) };
    default:
      return { frame: line };
  }
}

function readControl(line) {
  const [word, ...words] = line.slice(1).split(" ");
  if (!/^[a-z]/i.test(word)) throw new Breach("a control line without a word");
  if (!Object.hasOwn(SERVER_WORDS, word)) return {};
  const control = { word };
  Object.entries(SERVER_WORDS[word]).forEach(([name, read], at) => {
    if (words[at]) control[name] = read === rest ? words.slice(at).join(" ") : read(words[at]);
    else if (read !== countIfAny && (read !== rest || word === "closed")) throw new Breach(`!${word} without ${name}`);
  });
  return { control };
}

function count(text) {
  const number = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(number)) throw new Breach("a bad number");
  return number;
}

// What an old server does not say.
function countIfAny(text) {
  return count(text);
}

// What is left of the line, as it is.
function rest() {}

// Half a character, which JSON would keep as an escape, has no UTF-8: a WebSocket replaces it, and so do we.
function quote(text) {
  return JSON.stringify(text.replace(/\p{Cs}/gu, "\ufffd"));
}

function readQuoted(line) {
  try {
    return JSON.parse(line);
  } catch {
    throw new Breach("a bad string");
  }
}

function toBase64(buffer) {
  const bytes = new Uint8Array(buffer);
  let text = "";
  // In parts, since a call takes only so many arguments.
  for (let at = 0; at < bytes.length; at += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(text);
}

function fromBase64(text) {
  try {
    const binary = atob(text);
    if (btoa(binary) === text) return Uint8Array.from(binary, (char) => char.charCodeAt(0)).buffer;
  } catch {
    // It is a breach like the one below.
  }
  throw new Breach("bad base64");
}
