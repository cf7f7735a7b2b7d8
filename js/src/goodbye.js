// The last request of a page that goes, which may be gone before it is answered.

import { bytesOf } from "./bytes.js";
import { encodeLine, say } from "./lines.js";

/** What a browser lets all requests have together, in bytes, that outlive their page. */
const KEPT_BYTES_MAX = 64 * 1024;
/** Lines of frames; a server takes 2,000 lines. */
const FRAMES_MAX = 1_900;

/** The bytes of those that are under way. */
let keptBytes = 0;

/** Ends a session on the server. What it may lack goes with it as far as there is room, if there is a ledger. */
export function sayGoodbye(fetch, url, token, ledger) {
  const [head, end] = [say.send(token), say.close];
  post(fetch, url, [head, ...(ledger ? linesWithin(ledger, head, end) : []), end].join("\n"));
}

/** Says what the server may lack, as far as there is room, for a page that may come back: its session goes on. */
export function sayRest(fetch, url, token, ledger) {
  const head = say.send(token);
  const lines = linesWithin(ledger, head);
  if (lines.length) post(fetch, url, [head, ...lines].join("\n"));
}

function linesWithin(ledger, head, end = "") {
  const room = KEPT_BYTES_MAX - keptBytes - bytesOf(head) - end.length - 2;
  const lines = [say.from(ledger.acknowledged + 1)];
  let bytes = lines[0].length + 1;
  for (const frame of ledger.after(ledger.acknowledged, FRAMES_MAX)) {
    const line = encodeLine(frame);
    bytes += bytesOf(line) + 1;
    if (bytes > room) break;
    lines.push(line);
  }
  return lines.length > 1 ? lines : [];
}

async function post(fetch, url, body) {
  const bytes = bytesOf(body);
  const send = async (keepalive) => fetch(url, { method: "POST", body, keepalive, cache: "no-store" });
  keptBytes += bytes;
  try {
    await send(true);
  } catch {
    // The page may have others under way that are not ours. While it is there, this one may do without.
    await send(false).catch(() => {
      // The session is over then when its window is.
    });
  } finally {
    keptBytes -= bytes;
  }
}
