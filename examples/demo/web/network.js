// The connection of this page, made visible: lanes for the transports, frames that run over them, and what breaks them.

import { Lapwing } from "lapwing-transport";
import { byId, element } from "./dom.js";
import { Lanes } from "./lanes.js";

export const NAMES = { websocket: "WebSocket", sse: "event stream", longpoll: "long-poll" };
const ALL = Object.keys(NAMES);
const REFRESH_MS = 250;
const UNPLUGGED_MS = 5_000;
const FAILURES_SHOWN = 4;

/** What the page does not use: it holds for the next session, too. */
const forbidden = new Set();
let unplugged = null;

const lanes = new Lanes(byId("lanes"), NAMES, (name, isUsed) => {
  if (isUsed) forbidden.delete(name);
  else forbidden.add(name);
  apply();
});

/** The session of this page: its frames are seen. */
class Traced extends Lapwing.with({ onStatus: show, onRecovered: (recovered) => goOn(recovered) }) {
  constructor(...args) {
    super(...args);
    this.addEventListener("message", () => lanes.frame("down"));
  }

  send(data) {
    super.send(data);
    lanes.frame("up");
  }
}

export const transport = Traced;

let session = () => null;
/** Hears of rooms that go on in another session. */
let goOn = () => {};
/** Hears that another connection carries the session. */
let resumed = () => {};

/** Shows the session of a socket from now on. `recovered` is called for rooms that go on in another one, `back` when another connection carries it. */
export function startNetwork(socket, recovered, back) {
  session = () => socket.conn;
  goOn = recovered;
  resumed = back;
  byId("cut").addEventListener("click", () => session()?.cut?.());
  byId("unplug").addEventListener("click", () => (unplugged ? plug() : unplug()));
  socket.onOpen(apply);
  setInterval(refresh, REFRESH_MS);
}

function unplug() {
  unplugged = setTimeout(plug, UNPLUGGED_MS);
  byId("unplug").textContent = "Plug in again";
  apply();
  session()?.cut?.();
}

function plug() {
  clearTimeout(unplugged);
  unplugged = null;
  byId("unplug").textContent = "Unplug for 5 seconds";
  apply();
}

function apply() {
  for (const name of ALL) {
    if (unplugged || forbidden.has(name)) session()?.forbid?.(name);
    else session()?.allow?.(name);
  }
  // What carries the session would go on until another one does; without another one it is to be cut off all the same.
  if (unplugged || forbidden.size === ALL.length) session()?.cut?.();
  refresh();
}

/** The line in the header, which changes with the session. */
function show({ state, transport }) {
  const line = byId("status");
  if (state === "open" && line.dataset.state !== "open") resumed();
  line.dataset.state = state === "open" ? "open" : "closed";
  line.textContent = state === "open" ? `connected · ${NAMES[transport]}` : WORDS[state];
  refresh();
}

const WORDS = {
  connecting: "connecting …",
  resuming: "cut off, resuming …",
  reopening: "the session is lost, opening another …",
  closing: "closing …",
  closed: "the session is over, connecting anew …",
};

function refresh() {
  const status = session()?.status?.();
  if (!status) return;
  if (unplugged) lanes.show(status, new Set(ALL), "unplugged");
  else lanes.show(status, forbidden, "switched off");
  if (byId("session").open) fill(status);
}

function fill(status) {
  const rows = {
    "Carried by": status.transport ? NAMES[status.transport] : "nothing, for the moment",
    Why: inWords(status.why) || "–",
    "Round trip": status.rtt === null ? "–" : `${Math.round(status.rtt)} ms`,
    Sent: `${status.sent}, of which the server has ${status.acknowledged}`,
    Received: String(status.received),
    Resumed: status.resumes === 1 ? "once" : `${status.resumes} times`,
    Opened: status.openedAt ? new Date(status.openedAt).toLocaleTimeString() : "–",
    "Silence allowed": status.heartbeat === null ? "–" : `${Math.round(status.heartbeat / 1000)} s`,
  };
  byId("session-facts").replaceChildren(
    ...Object.entries(rows).flatMap(([name, value]) => [element("dt", "", name), element("dd", "", value)]),
  );
  const failures = status.failures.filter(({ how }) => how !== "slower").slice(-FAILURES_SHOWN).reverse();
  byId("session-failures").replaceChildren(
    ...failures.map(({ transport, how, at }) =>
      element("li", "", `${NAMES[transport]}: ${how}, ${new Date(at).toLocaleTimeString()}`),
    ),
  );
}

/** The names of transports as people call them. */
function inWords(why) {
  return why.replace(/\b(websocket|sse|longpoll)\b/g, (name) => NAMES[name]);
}
