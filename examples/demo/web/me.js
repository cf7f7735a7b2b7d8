// Who sits here: an id, a name and a color, the same in all tabs of the browser.

const KEY = "lapwing:me";

const MOODS = ["Quiet", "Merry", "Brave", "Sunny", "Clever", "Gentle", "Swift", "Curious", "Mellow", "Bright"];
const BIRDS = ["Lapwing", "Plover", "Wren", "Heron", "Swift", "Finch", "Curlew", "Robin", "Avocet", "Kestrel"];
const COLORS = ["#0f766e", "#b45309", "#7c3aed", "#be185d", "#2563eb", "#15803d", "#c2410c", "#0e7490"];

const pick = (list) => list[Math.floor(Math.random() * list.length)];

// Not randomUUID: pages from other machines over plain HTTP do not have it.
function makeId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What a balancer before several nodes can tell a session by: all of its requests have it. */
export const clientId = makeId;

function load() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}

function save() {
  try {
    localStorage.setItem(KEY, JSON.stringify(me));
  } catch {
    // Without storage one is somebody else after each reload, no more.
  }
}

export const me = {
  user: makeId(),
  name: `${pick(MOODS)} ${pick(BIRDS)}`,
  color: pick(COLORS),
  ...load(),
};
save();

/** Takes another name or color. */
export function changeMe(changes) {
  Object.assign(me, changes);
  save();
}

/** Calls back when another tab of this browser has changed the name or the color. */
export function onMeChanged(callback) {
  addEventListener("storage", ({ key }) => {
    if (key !== KEY) return;
    Object.assign(me, load());
    callback();
  });
}
