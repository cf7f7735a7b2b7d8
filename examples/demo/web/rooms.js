// The list of rooms. The room is the address's hash, so that it can be sent to a friend.

import { byId, element } from "./dom.js";

const KEY = "lapwing:rooms";
const ALWAYS = ["lobby", "random"];
const REMEMBERED_MAX = 6;

export function currentRoom() {
  try {
    return cleanName(decodeURIComponent(location.hash.slice(1))) || ALWAYS[0];
  } catch {
    return ALWAYS[0];
  }
}

/** Shows the list, and calls `enter` with the name of the current room, now and whenever it changes. */
export function startRooms(enter) {
  const follow = () => {
    const room = currentRoom();
    remember(room);
    showList(room);
    document.title = `#${room} · lapwing`;
    enter(room);
  };
  addEventListener("hashchange", follow);
  byId("go").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = cleanName(byId("go-room").value);
    byId("go-room").value = "";
    if (name) location.hash = encodeURIComponent(name);
  });
  follow();
}

function cleanName(text) {
  return text.trim().toLowerCase().replace(/[\s#]+/g, "-").slice(0, 40);
}

function remembered() {
  try {
    const rooms = JSON.parse(localStorage.getItem(KEY));
    return Array.isArray(rooms) ? rooms.filter((room) => typeof room === "string") : [];
  } catch {
    return [];
  }
}

function remember(room) {
  if (ALWAYS.includes(room)) return;
  const rooms = [room, ...remembered().filter((other) => other !== room)].slice(0, REMEMBERED_MAX);
  try {
    localStorage.setItem(KEY, JSON.stringify(rooms));
  } catch {
    // The list is a convenience.
  }
}

function showList(current) {
  const names = [...new Set([...ALWAYS, ...remembered(), current])];
  const items = names.map((name) => {
    const link = element("a", "", name);
    link.href = `#${encodeURIComponent(name)}`;
    if (name === current) link.setAttribute("aria-current", "page");
    return element("li", "", link);
  });
  byId("rooms").replaceChildren(...items);
}
