// Writes the table of what the runs have seen into the README.

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../support/testbed.js";
import { behaviours } from "./behaviours.js";
import { resultsPath } from "./results.js";

const BEGIN = "<!-- guarantees:begin -->";
const END = "<!-- guarantees:end -->";

const readme = join(root, "README.md");
const platforms = [
  { name: "Node", results: resultsOf("node") },
  { name: "Chromium", results: resultsOf("chromium") },
];
writeFileSync(readme, replaced(readFileSync(readme, "utf8"), table()));

function resultsOf(platform) {
  const path = resultsPath(platform);
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new Error(`${path} cannot be read: run \`scripts/guarantees\` without \`--table\` first`, { cause: error });
  }
}

function table() {
  const names = platforms.map(({ name }) => name);
  const figures = ["first message, ms", "carried by", "longest wait in mid-session, ms", "back on WebSocket, s"];
  const head = ["behaviour", ...figures, "zeros"];
  const rows = behaviours.map((behaviour) => [behaviour.name, ...cellsOf(behaviour)]);
  const lines = [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`);
  return [`Each cell: ${names.join(" · ")}.`, "", ...lines].join("\n");
}

function cellsOf(behaviour) {
  const both = (show) => {
    const shown = platforms.map(({ name, results }) => show(results[behaviour.name] ?? {}, name));
    return new Set(shown).size === 1 ? shown[0] : shown.join(" · ");
  };
  const number = (value, digits) => (value === undefined || value === null ? "–" : value.toFixed(digits));
  return [
    both(({ firstMs }) => number(firstMs, 0)),
    both(({ transport }) => transport ?? "–"),
    both(({ survivedMs }) => number(survivedMs, 0)),
    both(({ backMs }) => number(backMs && backMs / 1_000, 1)),
    both((row, platform) => mark(behaviour, row, platform)),
  ];
}

/** Node is spared what only browsers speak. */
function mark(behaviour, row, platform) {
  if (behaviour.isHttp2 && platform === "Node") return "–";
  return isWhole(behaviour, row) ? "✓" : "✗";
}

/** Whether all scenarios of a behaviour have come to a good end: those that did not leave nothing here. */
function isWhole({ isMidOnly, isStartOnly }, { firstMs, survivedMs }) {
  return (isMidOnly || firstMs !== undefined) && (isStartOnly || survivedMs !== undefined);
}

function replaced(text, section) {
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`README.md lacks ${BEGIN} and ${END}`);
  return `${text.slice(0, begin + BEGIN.length)}\n${section}\n${text.slice(end)}`;
}
