// The table of what the doctor found.

import { finding } from "../../../inspector/web/findings.js";

const titles = (ids) => ids.map((id) => finding(id, { ms: 1, percent: 1, kb: 1, how: "" }).title).join("; ") || "nothing";

/** A row for each behaviour: what was found, whether that is right, and how long it took. */
export function doctorTable(rows) {
  const right = rows.filter(({ isRight }) => isRight).length;
  const lines = rows.map(({ name, found, isRight, ms }) => `| ${name} | ${titles(found)} | ${isRight ? "✓" : "–"} | ${(ms / 1000).toFixed(0)} |`);
  const head = ["| behaviour | what the doctor found | rightly named | s |", "| --- | --- | --- | --- |"];
  return [`${right} of ${rows.length} are named rightly.`, "", ...head, ...lines].join("\n");
}
