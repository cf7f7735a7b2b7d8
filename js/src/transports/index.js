// The transports by their names: each makes attachments of its own kind.

import { LongPollAttachment } from "./longpoll.js";
import { SseAttachment } from "./sse.js";
import { WebSocketAttachment } from "./websocket.js";

const KINDS = { websocket: WebSocketAttachment, sse: SseAttachment, longpoll: LongPollAttachment };

/**
 * Begins to attach a session by a transport.
 *
 * `isProbe`: another attachment carries the session, and a resume would take it over, so the way is to be proven first where the
 * transport can. `settleMs`: even then it has to last for so long.
 */
export function attach(name, session, { isProbe, settleMs }) {
  return new KINDS[name](session, { isProbe, settleMs });
}
