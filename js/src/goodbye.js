// The last request of a session, from a page that may be gone before it is answered.

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
  const head = say.send(token);
  const room = KEPT_BYTES_MAX - keptBytes - bytesOf(head) - say.close.length - 2;
  post(fetch, url, [head, ...(ledger ? linesWithin(ledger, room) : []), say.close].join("\n"));
}

function linesWithin(ledger, room) {
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
