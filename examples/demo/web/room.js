// One room: its channel, and what is shown of it.

import { recover } from "lapwing-transport/recover";
import { byId } from "./dom.js";
import { me } from "./me.js";
import { Cursors } from "./cursors.js";
import { Messages } from "./messages.js";
import { People } from "./people.js";
import { Seen } from "./seen.js";
import { OthersTyping, OwnTyping } from "./typing.js";

/** Who comes in asks for so many messages, which is what a room remembers. */
const LAST = "-50";

export class Room {
  #socket;
  #topic;
  #seen;
  #channel;
  /** Says where the channel is in what was said. */
  #position;
  #messages;
  #cursors = new Cursors();
  #others = new OthersTyping();
  #own = new OwnTyping((payload) => this.#tell("typing", payload));
  #people;
  /** What was said here and is not known to be in the room, oldest first. */
  #waiting = [];

  constructor(socket, name) {
    this.#socket = socket;
    this.#topic = `room:${name}`;
    this.#seen = new Seen(name);
    this.#enter();
  }

  #enter() {
    // A function, so that one who was renamed comes back under the new name.
    this.#channel = this.#socket.channel(this.#topic, () => ({ user: me.user, name: me.name, color: me.color }));
    this.#position = recover(this.#channel, LAST);
    this.#messages = new Messages(me.user);
    for (const said of this.#waiting) said.shown = this.#messages.wait(said.text);
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
      if (isOther(message) && this.#seen.isFirstNew(this.#position())) this.#messages.addLine("while you were away");
      if (isOther(message)) this.#others.stop(message.user);
      else this.#settle(message);
      this.#messages.add(message);
      this.#seen.note(this.#position());
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
    let isBack = false;
    this.#channel
      .join()
      .receive("ok", ({ _recovered }) => {
        showProblem("");
        // The server has forgotten what this page shows, or some of it: it begins anew, with what there is.
        if (_recovered === false) return this.#enterAnew();
        if (isBack) this.#seen.expect(this.#position());
        isBack = true;
        this.#catchUp();
        if (document.hidden) this.away(true);
      })
      .receive("error", ({ reason }) => showProblem(`This room cannot be entered: ${reason}`));
  }

  #enterAnew() {
    this.#clear();
    this.#enter();
  }

  /** The channel goes on in another session, with so many messages that it missed. */
  recovered({ topic, replayed }) {
    if (topic !== this.#topic) return;
    if (replayed > 0) this.#seen.expect(this.#position());
    this.#catchUp();
  }

  /** The session was carried on by another connection, and may be at another node. */
  resumed() {
    if (this.#isJoined()) this.#channel.push("ping", {}).receive("ok", showNode);
  }

  /** Has the node start anew that this page is on. */
  restartNode() {
    this.#channel.push("restart", {});
  }

  // The answer comes behind all that was missed, and says which node is there now. What is not in the room by then was lost with a session, if it was not answered.
  #catchUp() {
    const waiting = [...this.#waiting];
    this.#channel.push("ping", {}).receive("ok", (where) => {
      showNode(where);
      this.#seen.expectNothing();
      for (const said of waiting.filter((said) => this.#waiting.includes(said))) {
        if (said.isHeard) this.#drop(said);
        else this.#push(said);
      }
    });
  }

  /** Says something, now or when the room is there; `failed` is called when the room refuses it. */
  say(text, failed) {
    const said = { text, failed, shown: this.#messages.wait(text) };
    this.#own.stop();
    this.#waiting.push(said);
    if (this.#isJoined()) this.#push(said);
  }

  // However long it takes: while the session lasts, it arrives.
  #push(said) {
    this.#channel
      .push("say", { text: said.text })
      .receive("ok", () => {
        said.isHeard = true;
        showProblem("");
      })
      .receive("error", ({ reason }) => {
        // Whether it was heard shows when the page has caught up.
        if (reason === "lost") return;
        this.#drop(said);
        showProblem(`Not sent: ${reason}`);
        said.failed();
      });
  }

  /** A message of this person's is in the room. */
  #settle({ text }) {
    const said = this.#waiting.find((said) => said.text === text);
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
    this.#clear();
    showProblem("");
  }

  #clear() {
    this.#channel.leave();
    this.#others.clear();
    this.#cursors.clear();
    this.#people.clear();
  }

  /** For what is stale when there is a connection again: it is not kept until then. */
  #tell(event, payload) {
    if (this.#isJoined()) this.#channel.push(event, payload);
  }

  #isJoined() {
    return this.#channel.state === "joined" && this.#channel.socket.isConnected();
  }
}

/** Which of several nodes has the session of this page, and whether the page may have it start anew. */
function showNode({ node, carried_by: carrier, restarts }) {
  byId("node").textContent = node ?? "";
  byId("node").hidden = !node;
  byId("carrier").textContent = carrier ? `by way of ${carrier}` : "";
  byId("carrier").hidden = !carrier;
  byId("restart").hidden = !restarts;
}

function showProblem(text) {
  const line = byId("problem");
  line.textContent = text;
  line.hidden = !text;
}
