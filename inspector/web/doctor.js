// The page of the doctor.

import { judge } from "./judge.js";
import { Site } from "./probes.js";
import { examine } from "./examine.js";

const el = (id) => document.getElementById(id);

/** The words of a report, for somebody who was not there. */
export function reportOf(seen, findings, { agent, address, at }) {
  const lines = findings.map(({ title, text }) => `- ${title}: ${text}`);
  const words = findings.length ? lines : ["- Nothing stands in the way: WebSockets, event streams and long requests pass."];
  return [
    `Network check of ${address}, ${at}`,
    `Browser: ${agent}`,
    ...words,
    "",
    "Observations:",
    JSON.stringify(seen, (_, value) => (typeof value === "number" ? Math.round(value) : value)),
  ].join("\n");
}

async function run() {
  el("after").hidden = true;
  el("findings").replaceChildren();
  const began = performance.now();
  const timer = setInterval(() => (el("progress").value = (performance.now() - began) / 1000), 200);
  const seen = await examine(new Site(location.href), (phase) => {
    document.documentElement.dataset.phase = phase;
    el("state").textContent = `Trying ${phase} …`;
  });
  clearInterval(timer);
  el("progress").value = 20;
  show(seen, judge(seen));
}

function show(seen, findings) {
  const seconds = Math.round(seen.ms / 1000);
  el("state").textContent = findings.length
    ? `This network does ${findings.length === 1 ? "something" : `${findings.length} things`} that pages have to live with. (${seconds}\u00a0s)`
    : `Nothing stands in the way here. (${seconds}\u00a0s)`;
  const items = findings.map(({ id, title, text, remedy }) => {
    const item = document.createElement("li");
    item.dataset.id = id;
    item.append(of("h2", title), of("p", text), of("p", remedy, "remedy"));
    return item;
  });
  if (!items.length) {
    const item = document.createElement("li");
    item.className = "well";
    item.append(of("h2", "All is well"), of("p", "WebSockets, event streams and long requests pass, and silent connections stay open for as long as this page has waited."));
    items.push(item);
  }
  el("findings").replaceChildren(...items);
  const about = { agent: navigator.userAgent, address: location.host, at: new Date().toISOString() };
  el("report").value = reportOf(seen, findings, about);
  el("after").hidden = false;
  document.documentElement.dataset.phase = "over";
}

function of(tag, text, className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  element.className = className;
  return element;
}

el("again").addEventListener("click", run);
el("copy").addEventListener("click", async () => {
  el("report").select();
  try {
    await navigator.clipboard.writeText(el("report").value);
  } catch {
    // Pages without TLS have no clipboard, but for this.
    document.execCommand("copy");
  }
  el("copied").textContent = "Copied.";
});
run();
