// Where the others point. Places are parts of the stage, for windows differ in size.

import { byId, element, paint } from "./dom.js";

const INTERVAL_MS = 50;
const IDLE_MS = 4000;

const SVG = "http://www.w3.org/2000/svg";
const ARROW = "M2 1l13 10.5-6 .5 3.5 6.5-2.5 1.200-3.400-6.5L2 17z";

/** Tells the room where the pointer is, about twenty times a second at most. */
export function watchPointer(push) {
  const stage = byId("stage");
  let place = null;
  let timer = null;
  const flush = () => {
    timer = null;
    if (!place) return;
    push(place);
    place = null;
    timer = setTimeout(flush, INTERVAL_MS);
  };
  stage.addEventListener("pointermove", (event) => {
    const { left, top, width, height } = stage.getBoundingClientRect();
    place = { x: part(event.clientX - left, width), y: part(event.clientY - top, height) };
    if (timer === null) flush();
  });
}

const part = (length, whole) => Math.round(Math.min(1, Math.max(0, length / whole)) * 10_000) / 10_000;

export class Cursors {
  /** By tab: a person can point with two. */
  #cursors = new Map();

  move({ tab, x, y }, { name, color }) {
    const cursor = this.#cursors.get(tab) ?? this.#make(tab);
    const { clientWidth, clientHeight } = byId("cursors");
    cursor.mark.style.transform = `translate(${x * clientWidth}px, ${y * clientHeight}px)`;
    cursor.label.textContent = name;
    paint(cursor.mark, color);
    cursor.mark.classList.remove("idle");
    clearTimeout(cursor.timer);
    cursor.timer = setTimeout(() => cursor.mark.classList.add("idle"), IDLE_MS);
  }

  remove(tab) {
    const cursor = this.#cursors.get(tab);
    if (!cursor) return;
    clearTimeout(cursor.timer);
    cursor.mark.remove();
    this.#cursors.delete(tab);
  }

  clear() {
    for (const tab of [...this.#cursors.keys()]) this.remove(tab);
  }

  #make(tab) {
    const label = element("span");
    const mark = element("div", "cursor", arrow(), label);
    byId("cursors").append(mark);
    const cursor = { mark, label, timer: null };
    this.#cursors.set(tab, cursor);
    return cursor;
  }
}

function arrow() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("width", "18");
  svg.setAttribute("height", "22");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ARROW);
  path.setAttribute("fill", "currentColor");
  path.setAttribute("stroke", "white");
  path.setAttribute("stroke-width", "1.2");
  svg.append(path);
  return svg;
}
