// The transports as lanes between the page and the server, with the frames of the session running over the one that carries it.

import { element } from "./dom.js";

/** How long a frame runs. The real one is there long before. */
const RUN_MS = 700;
/** So many run at once on a lane; the others are not drawn. */
const FRAMES_MAX = 24;
/** A cut is shown so long, however soon it was mended. */
const GAP_MS = 1_200;
/** A failure is worth a word for so long. */
const FAILURE_MS = 20_000;

const FAILURES = {
  silent: "no answer",
  mute: "went silent",
  error: "failed",
  closed: "was closed",
  post: "requests got lost",
  cut: "cut",
};

export class Lanes {
  #list;
  #names;
  #lanes;
  #current = null;
  /** The lane that carried last, and when it was cut off. */
  #lost = null;
  #lostAt = 0;
  #mendedMs = null;
  /** Frames that were sent while nothing carries the session. */
  #waiting = 0;

  /** `names` are the transports with their names; `change(name, isUsed)` hears of the switches. */
  constructor(root, names, change) {
    this.#list = root.querySelector("ul");
    this.#names = names;
    this.#lanes = new Map(Object.keys(names).map((name) => [name, this.#make(name, change)]));
    this.#list.append(...[...this.#lanes.values()].map(({ lane }) => lane));
  }

  /** Shows a status of the session, given what the page does not use and why. */
  show(status, forbidden, why) {
    this.#follow(status);
    for (const [name, { lane, note }] of this.#lanes) {
      lane.dataset.state = this.#stateOf(name, status, forbidden);
      note.textContent = this.#noteOf(name, status, forbidden, why);
    }
  }

  /** A frame goes `"up"` or comes `"down"`. */
  frame(way) {
    if (this.#current) this.#run(this.#current, way);
    else if (way === "up") this.#waiting += 1;
  }

  #follow({ transport }) {
    if (transport === this.#current) return;
    const now = Date.now();
    if (!transport) [this.#lost, this.#lostAt, this.#mendedMs] = [this.#current, now, null];
    else if (this.#lost) this.#mendedMs ??= now - this.#lostAt;
    this.#current = transport;
    if (!transport) return;
    // What was said meanwhile goes now.
    for (let frame = 0; frame < Math.min(this.#waiting, FRAMES_MAX); frame += 1) this.#run(transport, "up", frame * 40);
    this.#waiting = 0;
  }

  #stateOf(name, { transport, trying }, forbidden) {
    if (name === this.#lost && (!transport || Date.now() - this.#lostAt < GAP_MS)) return "gap";
    if (forbidden.has(name)) return "off";
    if (name === transport) return "current";
    return trying.includes(name) || !transport ? "trying" : "reserve";
  }

  #noteOf(name, { transport, trying, next, failures }, forbidden, why) {
    const waiting = this.#waiting ? ` · ${this.#waiting} waiting` : "";
    if (name === this.#lost && !transport) return `cut off${waiting}`;
    if (name === this.#lost && Date.now() - this.#lostAt < 2 * GAP_MS) {
      return `cut · ${transport === name ? "back" : "elsewhere"} after ${this.#mendedMs} ms`;
    }
    if (forbidden.has(name)) return why;
    if (name === transport) return "carries the session";
    if (trying.includes(name)) return "being tried";
    if (next?.transport === name) return `tried in ${Math.max(0, Math.ceil((next.at - Date.now()) / 1000))} s`;
    const failure = failures.findLast((one) => one.transport === name);
    const isWorthIt = failure && failure.how !== "slower" && Date.now() - failure.at < FAILURE_MS;
    return isWorthIt ? (FAILURES[failure.how] ?? failure.how) : "in reserve";
  }

  #run(name, way, delay = 0) {
    const { track } = this.#lanes.get(name);
    if (document.hidden || track.children.length > FRAMES_MAX || matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    const frame = element("i", `frame ${way}`);
    track.append(frame);
    const [from, to] = way === "up" ? ["0%", "100%"] : ["100%", "0%"];
    const run = frame.animate([{ left: from }, { left: to }], { duration: RUN_MS, delay, easing: "ease-in-out", fill: "both" });
    run.onfinish = () => frame.remove();
  }

  #make(name, change) {
    const input = element("input");
    input.type = "checkbox";
    input.id = `use-${name}`;
    input.checked = true;
    input.setAttribute("role", "switch");
    input.addEventListener("change", () => change(name, input.checked));
    const label = element("label", "switch", input, element("span", "", this.#names[name]));
    const track = element("div", "track", element("span", "line"));
    const note = element("span", "note");
    return { lane: element("li", "lane", label, track, note), track, note };
  }
}
