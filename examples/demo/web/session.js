// The panel of the session: what carries it and why, how it is doing, and buttons to make its life hard.

import { Lapwing } from "lapwing-transport";
import { byId, element } from "./dom.js";

const NAMES = { websocket: "WebSocket", sse: "event stream", longpoll: "long-poll" };
const STREAMS = ["websocket", "sse"];
const REFRESH_MS = 500;
const FAILURES_SHOWN = 4;

/** What the page has forbidden: it holds for the next session, too. */
const forbidden = new Set();

/** The transport for the socket: one session over whatever transport works. */
export const transport = Lapwing.with({ onStatus: show });

export function startPanel(socket) {
  const session = () => socket.conn;
  byId("cut").addEventListener("click", () => session()?.cut());
  for (const [box, names] of [["no-websocket", ["websocket"]], ["no-streams", STREAMS]]) {
    byId(box).addEventListener("change", () => forbid(session(), names));
  }
  socket.onOpen(() => apply(session()));
  byId("session").addEventListener("toggle", refresh);
  setInterval(() => byId("session").open && refresh(), REFRESH_MS);

  function refresh() {
    if (session()?.status) fill(session().status());
  }
}

/** The line in the header. */
function show({ state, transport }) {
  const line = byId("status");
  line.dataset.state = state === "open" ? "open" : "closed";
  line.textContent = state === "open" ? `connected · ${NAMES[transport]}` : `${state} …`;
}

function forbid(session, names) {
  const isForbidden = {
    websocket: byId("no-websocket").checked || byId("no-streams").checked,
    sse: byId("no-streams").checked,
  };
  for (const name of names) {
    if (isForbidden[name]) forbidden.add(name);
    else forbidden.delete(name);
  }
  apply(session);
}

function apply(session) {
  for (const name of STREAMS) {
    if (forbidden.has(name)) session?.forbid?.(name);
    else session?.allow?.(name);
  }
}

function fill(status) {
  const rows = {
    Carried: status.transport ? NAMES[status.transport] : "by nothing, for the moment",
    Why: status.why || "–",
    "Round trip": status.rtt === null ? "–" : `${Math.round(status.rtt)} ms`,
    Sent: `${status.sent}, ${status.acknowledged} acknowledged`,
    Received: String(status.received),
    Resumed: status.resumes === 1 ? "once" : `${status.resumes} times`,
    Heartbeat: status.heartbeat === null ? "–" : `${Math.round(status.heartbeat / 1000)} s`,
  };
  byId("session-facts").replaceChildren(
    ...Object.entries(rows).flatMap(([name, value]) => [element("dt", "", name), element("dd", "", value)]),
  );
  const failures = status.failures.slice(-FAILURES_SHOWN).reverse();
  byId("session-failures").replaceChildren(
    ...failures.map(({ transport, how, at }) =>
      element("li", "", `${NAMES[transport]}: ${how}, ${new Date(at).toLocaleTimeString()}`),
    ),
  );
}
