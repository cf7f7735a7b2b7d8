// Who is typing: telling others, and showing it.

import { byId } from "./dom.js";

/** While one types it is said again this often … */
const REPEAT_MS = 2000;
/** … and one who does not go on has stopped. */
const PAUSE_MS = 3000;
/** The word of one who types is believed this long: the end of it may get lost. */
const BELIEVE_MS = 5000;

/** Tells the room that its person types. */
export class OwnTyping {
  #push;
  #saidAt = 0;
  #timer;

  constructor(push) {
    this.#push = push;
  }

  typed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.stop(), PAUSE_MS);
    if (Date.now() - this.#saidAt < REPEAT_MS) return;
    this.#saidAt = Date.now();
    this.#push({ typing: true });
  }

  stop() {
    clearTimeout(this.#timer);
    if (this.#saidAt) this.#push({ typing: false });
    this.#saidAt = 0;
  }

  /** Says no more. */
  drop() {
    clearTimeout(this.#timer);
    this.#saidAt = 0;
  }
}

/** The line that shows who types. */
export class OthersTyping {
  #typists = new Map();

  set({ user, name, typing }) {
    this.stop(user);
    if (typing) {
      const timer = setTimeout(() => this.stop(user), BELIEVE_MS);
      this.#typists.set(user, { name, timer });
    }
    this.#show();
  }

  stop(user) {
    clearTimeout(this.#typists.get(user)?.timer);
    this.#typists.delete(user);
    this.#show();
  }

  clear() {
    for (const user of [...this.#typists.keys()]) this.stop(user);
  }

  #show() {
    const names = [...this.#typists.values()].map(({ name }) => name);
    byId("typing").textContent = sentence(names);
  }
}

function sentence(names) {
  if (names.length === 0) return "";
  if (names.length === 1) return `${names[0]} is typing …`;
  if (names.length === 2) return `${names[0]} and ${names[1]} are typing …`;
  return `${names.length} people are typing …`;
}
