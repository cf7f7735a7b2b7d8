// The other side of the conversation, in the same page: a second person with a session of its own, whom nothing cuts off.

import { Presence, Socket } from "phoenix";
import { Lapwing } from "lapwing-transport";
import { recover } from "lapwing-transport/recover";
import { byId } from "./dom.js";
import { clientId, me } from "./me.js";
import { Messages } from "./messages.js";

const BIRDS = ["Robin", "Wren"];

/** Somebody who is not this person. */
const other = () => ({
  user: `${me.user}-other`,
  name: BIRDS.find((name) => name !== me.name),
  color: "#b45309",
});

export class Other {
  /** Its socket, for those who count what passes between the two. */
  socket = new Socket("/socket", { transport: Lapwing, params: { client: clientId() } });
  who = other();
  #channel;
  #messages;

  constructor() {
    byId("other").hidden = false;
    byId("other-name").textContent = this.who.name;
    this.socket.connect();
    byId("other-say").addEventListener("submit", (event) => {
      event.preventDefault();
      const text = byId("other-text").value.trim();
      byId("other-text").value = "";
      if (text) this.#channel.push("say", { text });
    });
  }

  /** Goes to another room. */
  enter(room) {
    this.#channel?.leave();
    this.#messages = new Messages(this.who.user, byId("other-messages"));
    const channel = this.socket.channel(`room:${room}`, this.who);
    const messages = this.#messages;
    recover(channel, "-50");
    channel.on("said", (message) => messages.add(message));
    this.#watch(new Presence(channel), messages);
    // A server that has forgotten what is shown here begins anew.
    channel.join().receive("ok", ({ _recovered }) => _recovered === false && this.enter(room));
    this.#channel = channel;
  }

  /** Says of the person on the other side of the page whether it is here. */
  #watch(presence, messages) {
    let isSynced = false;
    const tell = (key, words) => isSynced && key === me.user && messages.addLine(`${me.name} ${words}`);
    presence.onJoin((key, current) => !current && tell(key, "came in"));
    presence.onLeave((key, current) => current.metas.length === 0 && tell(key, "left"));
    presence.onSync(() => {
      isSynced = true;
      const people = presence.list((key, { metas }) => ({ key, node: metas.at(-1).node }));
      const isHere = people.some(({ key }) => key === me.user);
      const own = people.find(({ key }) => key === this.who.user);
      byId("other-node").textContent = own?.node ? ` on ${own.node}` : "";
      byId("other-sees").textContent = isHere ? `· sees ${me.name} here` : `· does not see ${me.name}`;
      byId("other-sees").dataset.here = isHere;
    });
  }
}
