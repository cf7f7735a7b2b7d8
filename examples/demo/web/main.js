// The page: connects, and leads what its person does to the room.

import { Socket } from "phoenix";
import { byId } from "./dom.js";
import { changeMe, clientId, me, onMeChanged } from "./me.js";
import { watchPointer } from "./cursors.js";
import { startNetwork, transport } from "./network.js";
import { Other } from "./other.js";
import { startPhone } from "./phone.js";
import { Room } from "./room.js";
import { startRooms } from "./rooms.js";
import { startTraffic } from "./traffic.js";

const socket = new Socket("/socket", { transport, params: { client: clientId() } });
startNetwork(socket, (recovered) => room?.recovered(recovered), () => room?.resumed());
startPhone();
socket.connect();

// With `?one` there is one side to the page: for those who have somebody to talk to.
const other = new URLSearchParams(location.search).has("one") ? null : new Other();
if (other) startTraffic(socket, other);
document.body.classList.toggle("two", other !== null);

let room = null;
startRooms((name) => {
  room?.leave();
  room = new Room(socket, name);
  other?.enter(name);
});

watchPointer((place) => room.point(place));
document.addEventListener("visibilitychange", () => room.away(document.hidden));

byId("restart").addEventListener("click", () => room.restartNode());

const text = byId("text");

byId("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const said = text.value.trim();
  if (!said) return;
  text.value = "";
  text.focus();
  room.say(said, () => {
    text.value ||= said;
  });
});

text.addEventListener("input", () => room.typed());
text.addEventListener("keydown", (event) => {
  // Enter also ends the choice of a word in many scripts; that is not the end of the message.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  byId("say").requestSubmit();
});

function showMe() {
  byId("my-name").value = me.name;
  byId("my-color").value = me.color;
}

byId("my-name").addEventListener("change", ({ target }) => {
  const name = target.value.trim();
  if (name) {
    changeMe({ name });
    room.renamed();
  }
  showMe();
});

byId("my-color").addEventListener("change", ({ target }) => {
  changeMe({ color: target.value });
  room.renamed();
});

byId("me").addEventListener("submit", (event) => {
  event.preventDefault();
  text.focus();
});

onMeChanged(() => {
  showMe();
  room.renamed();
});

showMe();
text.focus();
