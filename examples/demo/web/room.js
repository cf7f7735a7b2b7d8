// One room: its channel, and what is shown of it.

import { byId } from "./dom.js";
import { me } from "./me.js";
import { Cursors } from "./cursors.js";
import { Messages } from "./messages.js";
import { People } from "./people.js";
import { OthersTyping, OwnTyping } from "./typing.js";

export class Room {
  #channel;
  #messages = new Messages(me.user);
  #cursors = new Cursors();
  #others = new OthersTyping();
  #own = new OwnTyping((payload) => this.#tell("typing", payload));
  #people;

  constructor(socket, name) {
    // A function, so that one who was renamed comes back under the new name.
    this.#channel = socket.channel(`room:${name}`, () => ({ user: me.user, name: me.name, color: me.color }));
    this.#people = new People(this.#channel, me.user, {
      line: (text) => this.#messages.addLine(text),
      gone: (user, tab, isLast) => {
        this.#cursors.remove(tab);
        if (isLast) this.#others.stop(user);
      },
    });
    this.#listen();
    this.#join();
  }

  #listen() {
    const isOther = ({ user }) => user !== me.user;
    this.#channel.on("said", (message) => {
      if (isOther(message)) this.#others.stop(message.user);
      this.#messages.add([message]);
    });
    this.#channel.on("typing", (typist) => {
      if (isOther(typist)) this.#others.set(typist);
    });
    this.#channel.on("cursor", (cursor) => {
      const person = this.#people.get(cursor.user);
      if (isOther(cursor) && person) this.#cursors.move(cursor, person);
    });
  }

  #join() {
    this.#channel
      .join()
      .receive("ok", ({ history }) => {
        showProblem("");
        this.#messages.add(history);
        if (document.hidden) this.away(true);
      })
      .receive("error", ({ reason }) => showProblem(`This room cannot be entered: ${reason}`));
  }

  /** Says something; `failed` is called when the room does not have it. */
  say(text, failed) {
    const fail = (reason) => {
      showProblem(`Not sent: ${reason}`);
      failed();
    };
    this.#own.stop();
    this.#channel
      .push("say", { text })
      .receive("ok", () => showProblem(""))
      .receive("error", ({ reason }) => fail(reason))
      .receive("timeout", () => fail("the server does not answer"));
  }

  typed() {
    this.#own.typed();
  }

  point(place) {
    this.#tell("cursor", place);
  }

  away(away) {
    this.#tell("away", { away });
  }

  renamed() {
    if (!this.#isJoined()) return;
    this.#channel
      .push("rename", { name: me.name, color: me.color })
      .receive("ok", () => showProblem(""))
      .receive("error", ({ reason }) => showProblem(`Not renamed: ${reason}`));
  }

  leave() {
    this.#own.drop();
    this.#channel.leave();
    this.#others.clear();
    this.#cursors.clear();
    this.#people.clear();
    showProblem("");
  }

  /** For what is stale when there is a connection again: it is not kept until then. */
  #tell(event, payload) {
    if (this.#isJoined()) this.#channel.push(event, payload);
  }

  #isJoined() {
    return this.#channel.state === "joined" && this.#channel.socket.isConnected();
  }
}

function showProblem(text) {
  const line = byId("problem");
  line.textContent = text;
  line.hidden = !text;
}
