// The messages, grouped by author, with lines of the system between them.

import { avatar, byId, element, paint } from "./dom.js";

/** Longer silence begins a new group. */
const GROUP_MS = 5 * 60 * 1000;
/** The page keeps no more than this. */
const ENTRIES_MAX = 500;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

export class Messages {
  #list;
  #own;
  /** What was said and is not in the room yet, below all that is. */
  #waiting = element("article", "group own waiting", element("div", "said"));
  /** What is shown: messages, in the order in which they were said, and lines of the system. */
  #entries = [];

  constructor(ownUser, list = byId("messages")) {
    this.#own = ownUser;
    this.#list = list;
    this.#showEmpty();
  }

  /** Adds what was said next. */
  add(message) {
    this.#insert(message);
  }

  addLine(text) {
    this.#insert({ line: text });
  }

  /** Shows at once what its person has said. Returns what `settle` takes when it is known what became of it. */
  wait(text) {
    const shown = element("p", "text", text);
    this.#stickToEnd(true, () => {
      this.#list.querySelector(".empty")?.remove();
      this.#waiting.firstElementChild.append(shown);
      this.#list.append(this.#waiting);
    });
    return shown;
  }

  settle(shown) {
    shown.remove();
    if (!this.#waiting.firstElementChild.hasChildNodes()) this.#waiting.remove();
  }

  #insert(entry) {
    const last = this.#entries.at(-1);
    this.#entries.push(entry);
    this.#stickToEnd(entry.user === this.#own, () => {
      this.#show(entry, last);
      if (this.#entries.length > ENTRIES_MAX) this.#trim();
    });
  }

  #trim() {
    this.#entries.splice(0, ENTRIES_MAX / 5);
    this.#showAll();
  }

  #showAll() {
    this.#list.replaceChildren(...(this.#waiting.isConnected ? [this.#waiting] : []));
    this.#entries.forEach((entry, at) => this.#show(entry, this.#entries[at - 1]));
  }

  #showEmpty() {
    this.#list.replaceChildren(element("p", "empty", "Nothing said here yet. Say hello!"));
  }

  #show(entry, previous) {
    this.#list.querySelector(".empty")?.remove();
    if ("line" in entry) {
      this.#append(element("p", "system", entry.line));
      return;
    }
    const text = element("p", "text", entry.text);
    if (continues(entry, previous)) {
      const last = this.#waiting.isConnected ? this.#waiting.previousElementSibling : this.#list.lastElementChild;
      last.querySelector(".said").append(text);
    } else {
      this.#append(this.#group(entry, text));
    }
  }

  #append(shown) {
    this.#list.insertBefore(shown, this.#waiting.isConnected ? this.#waiting : null);
  }

  #group(message, text) {
    const time = element("time", "", clock.format(message.at));
    time.dateTime = new Date(message.at).toISOString();
    const head = element("p", "head", element("span", "author", message.name), time);
    const isOwn = message.user === this.#own;
    const group = element("article", isOwn ? "group own" : "group", avatar(message));
    group.append(element("div", "said", head, text));
    return paint(group, message.color);
  }

  /** Follows the end, unless one has scrolled up to read. */
  #stickToEnd(always, change) {
    const list = this.#list;
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
    change();
    if (always || isAtEnd) list.scrollTop = list.scrollHeight;
  }
}

function continues(message, previous) {
  if (!previous || "line" in previous) return false;
  const { user, name, color, at } = previous;
  return user === message.user && name === message.name && color === message.color && message.at - at < GROUP_MS;
}
