// Making elements. Text goes in as text, never as HTML.

export const byId = (id) => document.getElementById(id);

/** Makes an element of a class, with text or with children. */
export function element(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

/** Gives an element a person's color, and for text upon it black or white, whichever is readable. */
export function paint(target, color) {
  const valid = /^#[0-9a-f]{6}$/i.test(color) ? color : "#777777";
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(valid.slice(at, at + 2), 16));
  const isLight = 0.299 * red + 0.587 * green + 0.114 * blue > 150;
  target.style.setProperty("--color", valid);
  target.style.setProperty("--on-color", isLight ? "#111111" : "#ffffff");
  return target;
}

export function avatar({ name, color }) {
  const made = element("span", "avatar", Array.from(name)[0]?.toUpperCase() ?? "?");
  made.setAttribute("aria-hidden", "true");
  return paint(made, color);
}
