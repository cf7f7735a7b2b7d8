// The line in the header: whether there is a connection, and by which wire.

import { LongPoll } from "phoenix";
import { byId } from "./dom.js";

export function showStatus(socket) {
  const show = (state, text) => {
    const line = byId("status");
    line.dataset.state = state;
    line.textContent = text;
  };
  socket.onOpen(() => {
    const wire = socket.transport === LongPoll ? "long-poll" : "WebSocket";
    show("open", `connected · ${wire}`);
  });
  socket.onClose(() => show("closed", "reconnecting …"));
}
