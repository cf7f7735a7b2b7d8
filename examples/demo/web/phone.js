// A phone that takes eight kilobytes a second beside a page that reads: both are told where birds are, twenty times a second.

import { Socket } from "phoenix";
import { Lapwing } from "lapwing-transport";
import { byId, element } from "./dom.js";

const REFRESH_MS = 250;
/** Of so many states it is remembered when the page had them. */
const REMEMBERED = 2_000;

/** Shows the two while the button has them shown. */
export function startPhone() {
  const dialog = byId("phone");
  let screens = null;
  byId("show-phone").addEventListener("click", () => {
    const seen = new Map();
    screens = [new Screen("fast", "/birds", seen), new Screen("slow", "/phone", seen)];
    dialog.showModal();
  });
  dialog.addEventListener("close", () => {
    for (const screen of screens ?? []) screen.stop();
    screens = null;
  });
}

/** One client, and what it sees. */
class Screen {
  #figure;
  #birds = new Map();
  #socket;
  #timer;
  /** When the page had each state, by its number. */
  #seen;
  #isPage;
  #states = 0;
  #newest = 0;
  #behindMs = 0;
  #closed = 0;
  #times = [];

  constructor(name, path, seen) {
    this.#figure = byId(`${name}-screen`);
    this.#seen = seen;
    this.#isPage = name === "fast";
    // The other transports would open connections that are no phone's.
    const transport = Lapwing.with({ transports: ["websocket"], storage: null });
    this.#socket = new Socket(path, { transport });
    this.#socket.onClose(() => (this.#closed += 1));
    const channel = this.#socket.channel("birds");
    channel.on("flew", (state) => this.#take(state));
    this.#socket.connect();
    channel.join();
    this.#timer = setInterval(() => this.#show(), REFRESH_MS);
  }

  stop() {
    clearInterval(this.#timer);
    this.#socket.disconnect();
    for (const mark of this.#birds.values()) mark.remove();
  }

  #take({ bird, number, x, y }) {
    const now = performance.now();
    this.#states += 1;
    this.#newest = Math.max(this.#newest, number);
    this.#times.push(now);
    if (this.#isPage) this.#remember(number, now);
    else this.#behindMs = Math.max(0, now - (this.#seen.get(number) ?? now));
    const mark = this.#birds.get(bird) ?? this.#make(bird);
    mark.style.left = `${x * 100}%`;
    mark.style.top = `${y * 100}%`;
    // At an edge all of it is inside.
    mark.style.translate = `${-x * 100}% ${-y * 100}%`;
  }

  #remember(number, now) {
    this.#seen.set(number, now);
    if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.keys().next().value);
  }

  #make(bird) {
    const mark = element("img", "bird");
    mark.src = "/icon.svg";
    mark.alt = "";
    this.#figure.querySelector(".sky").append(mark);
    this.#birds.set(bird, mark);
    return mark;
  }

  #show() {
    const now = performance.now();
    this.#times = this.#times.filter((time) => now - time < 2_000);
    const perSecond = Math.round(this.#times.length / 2);
    const words = [`${perSecond} states a second`, `closed ${this.#closed === 1 ? "once" : `${this.#closed} times`}`];
    if (!this.#isPage) words.splice(1, 0, `the newest ${(this.#behindMs / 1000).toFixed(1)} s behind the page`);
    this.#figure.querySelector("figcaption span").textContent = words.join(" · ");
    Object.assign(this.#figure.dataset, {
      states: this.#states,
      newest: this.#newest,
      behindMs: Math.round(this.#behindMs),
      closed: this.#closed,
    });
  }
}
