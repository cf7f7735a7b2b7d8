// The table of a run: each figure's median over the rounds, its spread, and its ratio to lapwing.

import { median, number } from "../figures.js";

const BASE = "lapwing";
const FAULTS = ["lost", "told", "doubled", "disordered", "closed"];
const words = { told: "lost and told", disordered: "out of order", closed: "clients closed" };
const TITLES = [
  "server",
  "nodes: CPU µs per delivery",
  "Redis: CPU µs per broadcast",
  "ms to a client of another node: p50 · p99",
  "to one of the same node",
  "lost · doubled · out of order",
  "connections cut: broadcasts lost in silence",
];

/** `lines`: of each measurement its kind, whether connections were cut, and its report; null if it failed. */
export function tableOf(lines) {
  const kinds = [...new Set(lines.map(({ kind }) => kind))];
  const rows = [TITLES, ...kinds.map((kind) => cells(lines, kind))];
  const [head, ...rest] = rows.map((row) => `| ${row.join(" | ")} |`);
  return [head, `|${"---|".repeat(TITLES.length)}`, ...rest].join("\n");
}

function reportsOf(lines, kind, cut) {
  return lines.filter((line) => line.kind === kind && line.cut === cut).map(({ report }) => report);
}

function cells(lines, kind) {
  const steady = reportsOf(lines, kind, false);
  const cut = reportsOf(lines, kind, true);
  const base = reportsOf(lines, BASE, false);
  const all = (reports, cell) => (reports.length === 0 || reports.includes(null) ? "failed" : cell(reports));
  return [
    kind,
    figure(steady, base, ({ perDelivery }) => perDelivery),
    figure(steady, base, ({ perBroadcast }) => perBroadcast),
    all(steady, (reports) => times(reports, "elsewhere")),
    all(steady, (reports) => times(reports, "here")),
    all(steady, (reports) => ["lost", "doubled", "disordered"].map((key) => number(sum(reports, key), 0)).join(" · ")),
    all(cut, losses),
  ];
}

/** As `4.63 (4.50 to 4.80; 1.00×)`, with a `*` if something was wrong in a round. */
function figure(reports, base, of) {
  const values = reports.filter(Boolean).map(of);
  if (values.length === 0) return "failed";
  // The median of the rounds' own ratios: what disturbs a round disturbs both.
  const ratios = reports.flatMap((report, round) => (report && base[round] ? [of(report) / of(base[round])] : []));
  const ratio = ratios.length === 0 ? "–" : `${number(median(ratios), 2)}×`;
  const wrong = reports.some((report) => report === null || FAULTS.some((fault) => report[fault] > 0));
  const spread = `${number(Math.min(...values), 1)} to ${number(Math.max(...values), 1)}`;
  return `${number(median(values), 1)}${wrong ? " *" : ""} (${spread}; ${ratio})`;
}

function times(reports, where) {
  return ["p50", "p99"].map((key) => number(median(reports.map((report) => report[where][key])), 1)).join(" · ");
}

/** As `32 of 9,000, within 26 ms`, of all rounds; the time is the longest one. */
function losses(reports) {
  const lost = sum(reports, "lostBroadcasts");
  const text = `${number(lost, 0)} of ${number(sum(reports, "said"), 0)}`;
  const ms = Math.ceil(Math.max(...reports.map(({ lostForMs }) => lostForMs)));
  return lost === 0 ? text : `${text}, within ${number(ms, 0)} ms`;
}

function sum(reports, key) {
  return reports.reduce((sum, report) => sum + report[key], 0);
}

/** What stands below the table: what went wrong, and the machine's load. */
export function notesOf(lines) {
  const notes = lines.map(noteOf).filter(Boolean);
  const loads = lines.flatMap(({ report }) => (report ? [report.load] : []));
  if (loads.length === 0) return notes.join("\n");
  const range = [Math.min(...loads), Math.max(...loads)].map((load) => number(load, 1)).join(" to ");
  return [...notes, `Load before each measurement: ${range}.`].join("\n");
}

function noteOf({ kind, cut, report, error }) {
  if (!report) return `* ${kind}${cut ? ", connections cut" : ""}: a round failed: ${error}.`;
  const found = FAULTS.filter((fault) => report[fault] > 0);
  const faults = found.map((fault) => `${number(report[fault], 0)} ${words[fault] ?? fault}`);
  if (faults.length === 0) return undefined;
  const cuts = cut ? `, ${report.cutConnections} connections cut` : "";
  return `* ${kind}${cuts}: ${faults.join(", ")}, of ${number(report.expected, 0)} deliveries.`;
}
