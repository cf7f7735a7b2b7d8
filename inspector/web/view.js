// Small pieces of a page. Whatever clients have chosen is text here, and never markup.

/** An element with properties and children. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A name that a client chose: what cannot be seen is shown, and what was cut off is counted. */
export function nameText({ name, more = 0 }) {
  const shown = name.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) => `\\u{${char.codePointAt(0).toString(16)}}`);
  return more ? `${shown}… (${count(more)} bytes more)` : shown || "(empty)";
}

/** A link to a name, if all of it is here. */
export function nameLink(shown, href) {
  return shown.more ? nameText(shown) : h("a", { href: `${href}${encodeURIComponent(shown.name)}` }, nameText(shown));
}

export function count(number) {
  return Math.round(number).toLocaleString("en");
}

/** A number of things, of which one has no s behind it. */
export function many(number, thing) {
  return `${count(number)} ${thing}${number === 1 ? "" : "s"}`;
}

export function bytes(number) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  const unit = number < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(number) / 3));
  const value = number / 1000 ** unit;
  return `${unit === 0 ? Math.round(value) : value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

export function timeText(at) {
  return new Date(at).toISOString().slice(11, 23);
}

/** A table that scrolls by itself where the screen is narrow. */
export function table(label, heads, rows) {
  const head = h("tr", {}, heads.map((text) => h("th", { scope: "col" }, text)));
  const body = rows.map((cells) => h("tr", {}, cells.map((cell) => h("td", {}, cell))));
  return h("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: label }, h("table", {}, h("thead", {}, head), h("tbody", {}, body)));
}

/** Names and values. */
export function facts(pairs) {
  return h("dl", {}, pairs.filter(Boolean).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
