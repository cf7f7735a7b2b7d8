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
  /** What was said and is not known to be in the room, oldest first. */
  #waiting = [];

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
      else this.#settle(message);
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
      .receive("ok", ({ history, node }) => {
        showProblem("");
        showNode(node);
        const missed = history.filter(({ user }) => user === me.user);
        for (const message of missed) this.#settle(message);
        this.#messages.add(history);
        // A session that ended took these along.
        for (const said of this.#waiting) this.#push(said);
        if (document.hidden) this.away(true);
      })
      .receive("error", ({ reason }) => showProblem(`This room cannot be entered: ${reason}`));
  }

  /** Says something, now or when the room is there; `failed` is called when the room refuses it. */
  say(text, failed) {
    const said = { text, failed, after: this.#messages.lastId, shown: this.#messages.wait(text) };
    this.#own.stop();
    this.#waiting.push(said);
    if (this.#isJoined()) this.#push(said);
  }

  // However long it takes: while the session lasts, it arrives.
  #push(said) {
    this.#channel
      .push("say", { text: said.text })
      .receive("ok", () => showProblem(""))
      .receive("error", ({ reason }) => {
        this.#drop(said);
        showProblem(`Not sent: ${reason}`);
        said.failed();
      });
  }

  /** A message of this person's is in the room. */
  #settle({ id, text }) {
    const said = this.#waiting.find((said) => said.text === text && id > said.after);
    if (said) this.#drop(said);
  }

  #drop(said) {
    this.#waiting = this.#waiting.filter((other) => other !== said);
    this.#messages.settle(said.shown);
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

/** Which of several nodes serves this page. */
function showNode(name) {
  byId("node").textContent = name ?? "";
  byId("node").hidden = !name;
}

function showProblem(text) {
  const line = byId("problem");
  line.textContent = text;
  line.hidden = !text;
}
