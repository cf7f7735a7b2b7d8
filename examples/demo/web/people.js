// Who is here. A person is a presence; each of the person's tabs is one of its metas.

import { Presence } from "phoenix";
import { avatar, byId, element } from "./dom.js";

/** What a person's metas say together: the look of the newest, away only if all are. */
function personOf(user, { metas }) {
  const { name, color } = metas.at(-1);
  const nodes = [...new Set(metas.map(({ node }) => node).filter(Boolean))].sort();
  return { user, name, color, nodes, tabs: metas.length, away: metas.every((meta) => meta.away) };
}

export class People {
  #presence;
  #own;
  #people = new Map();

  /** `on.line` gets sentences of who came and went, `on.gone` a meta that is over. */
  constructor(channel, ownUser, on) {
    this.#own = ownUser;
    this.#presence = new Presence(channel);
    let isSynced = false;
    this.#presence.onJoin((user, current, fresh) => {
      // Those who were here before us have not come in now.
      if (!isSynced || user === ownUser) return;
      const { name } = personOf(user, fresh);
      if (!current) on.line(`${name} came in`);
      else if (personOf(user, current).name !== name) on.line(`${personOf(user, current).name} is now ${name}`);
    });
    this.#presence.onLeave((user, current, left) => {
      // An update is a leave, too, of a meta whose tab stays.
      const staying = new Set(current.metas.map((meta) => meta.tab));
      for (const { tab } of left.metas) if (!staying.has(tab)) on.gone(user, tab, current.metas.length === 0);
      if (current.metas.length === 0 && user !== ownUser) on.line(`${personOf(user, left).name} left`);
    });
    this.#presence.onSync(() => {
      isSynced = true;
      this.#show();
    });
  }

  get(user) {
    return this.#people.get(user);
  }

  clear() {
    this.#people.clear();
    byId("people").replaceChildren();
    byId("count").textContent = "";
  }

  #show() {
    const people = this.#presence.list(personOf);
    this.#people = new Map(people.map((person) => [person.user, person]));
    const isOwn = ({ user }) => user === this.#own;
    people.sort((one, other) => isOwn(other) - isOwn(one) || one.name.localeCompare(other.name));
    byId("people").replaceChildren(...people.map((person) => item(person, isOwn(person))));
    byId("count").textContent = `· ${people.length}`;
  }
}

function item(person, isOwn) {
  const notes = [];
  if (isOwn) notes.push("you");
  if (person.tabs > 1) notes.push(`${person.tabs} tabs`);
  if (person.away) notes.push("away");
  notes.push(...person.nodes);
  const who = element("span", "who", element("span", "name", person.name));
  if (notes.length) who.append(element("span", "note", notes.join(" · ")));
  return element("li", person.away ? "away" : "", avatar(person), who);
}
