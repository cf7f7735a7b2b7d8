// Numbered messages between the two sides of the page, so that there is something to lose, and the count of what was.

import { recover } from "lapwing-transport/recover";
import { byId } from "./dom.js";
import { me } from "./me.js";

const INTERVAL_MS = 500;

/** Lets two people send each other numbers, in a room of their own, and shows what became of them. */
export function startTraffic(socket, other) {
  const room = `link-${crypto.getRandomValues(new Uint32Array(2)).join("-")}`;
  const left = new Side(socket, room, { user: me.user, name: me.name, color: me.color });
  const right = new Side(other.socket, room, other.who);
  setInterval(() => {
    if (document.hidden) return;
    left.send();
    right.send();
    show(left, right);
  }, INTERVAL_MS);
}

/** One end: it counts what comes from the other one. The order is known, so that a gap is a loss. */
class Side {
  sent = 0;
  delivered = 0;
  lost = 0;
  doubled = 0;
  /** What a server that was started anew has forgotten: nobody had promised it. */
  forgotten = 0;
  #last = 0;
  #isPromised = true;
  #channel;

  constructor(socket, room, who) {
    this.#channel = socket.channel(`room:${room}`, who);
    recover(this.#channel);
    this.#channel.on("said", ({ user, text }) => user !== who.user && this.#take(Number(text)));
    this.#channel.join().receive("ok", ({ _recovered }) => (this.#isPromised &&= _recovered !== false));
  }

  send() {
    // While there is no channel, there is nobody to promise anything.
    if (this.#channel.state !== "joined") return;
    this.sent += 1;
    this.#channel.push("say", { text: String(this.sent) });
  }

  #take(number) {
    if (number <= this.#last) return (this.doubled += 1);
    const missing = number - this.#last - 1;
    if (this.#isPromised) this.lost += missing;
    else this.forgotten += missing;
    this.#isPromised = true;
    this.#last = number;
    this.delivered += 1;
  }
}

function show(left, right) {
  const sum = (key) => left[key] + right[key];
  const count = (id, number) => {
    byId(id).textContent = String(number);
    byId(id).dataset.isZero = number === 0;
  };
  count("lost", sum("lost"));
  count("doubled", sum("doubled"));
  const under = sum("sent") - sum("delivered") - sum("lost") - sum("forgotten");
  byId("delivered").textContent = `of ${sum("delivered")} numbered messages between the two sides${under > 2 ? `, ${under} under way` : ""}`;
}
