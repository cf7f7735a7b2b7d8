// Prints the table of a run: each figure's median over the rounds, and its ratios to the floor and to lapwing.
//
//     node table.js RESULTS      a line for each measurement: {"server", "load", "report" of loadgen or null}
import { readFileSync } from "node:fs";
import { median, number } from "./figures.js";

const FIGURES = [
  { load: "idle", key: "rss_per_connection", title: "idle: RSS, bytes per connection", digits: 0 },
  { load: "fan1", key: "server_and_ksoftirqd_cpu_s_per_million", title: "fan-out to 1,000: CPU µs per delivery", digits: 2 },
  { load: "fan64", key: "server_and_ksoftirqd_cpu_s_per_million", title: "the same, 64 in flight", digits: 2 },
  { load: "rtt", key: "server_us_per_request", title: "request and reply: CPU µs", digits: 2 },
  { load: "join", key: "server_us_per_join", title: "join: CPU µs", digits: 2 },
  { load: "join", key: "rss_per_join", title: "join: RSS, bytes", digits: 0 },
];
// What must be zero, or the figure is worth less.
const FAULTS = [
  "lost", "duplicated", "out_of_order", "misrouted", "alien", "failed", "stuck", "unanswered", "wrong_replies", "refused",
];
// Above this somebody else was at work, and the figures are good for their ratios at most.
const OTHER_CORES_MAX = 0.15;

const lines = readFileSync(process.argv[2], "utf8").trim().split("\n").map((line) => JSON.parse(line));
const servers = [...new Set(lines.map((line) => line.server))];
const reportsOf = (server, load) =>
  lines.filter((line) => line.server === server && line.load === load).map((line) => line.report);

// The median of the rounds' own ratios: what disturbs a round disturbs both.
function ratio(server, base, { load, key }) {
  const bases = reportsOf(base, load);
  const ratios = reportsOf(server, load).map((report, round) => report?.[key] / bases[round]?.[key]);
  return median(ratios.filter(Number.isFinite));
}

function cell(server, figure) {
  const reports = reportsOf(server, figure.load);
  const value = median(reports.map((report) => report?.[figure.key]).filter(Number.isFinite));
  if (value === undefined) return "failed";
  const wrong = reports.some((report) => report === null || FAULTS.some((fault) => report[fault] > 0));
  const ratios = ["floor", "lapwing"].map((base) => ratio(server, base, figure));
  const compared = ratios.map((one) => (one === undefined ? "–" : `${number(one, one < 10 ? 2 : 0)}×`));
  return `${number(value, figure.digits)}${wrong ? " *" : ""} (${compared.join(", ")})`;
}

console.log("Each figure, and in brackets its ratio to the floor and to lapwing.\n");
console.log(`| server | ${FIGURES.map(({ title }) => title).join(" | ")} |`);
console.log(`|${"---|".repeat(FIGURES.length + 1)}`);
for (const server of servers) {
  console.log(`| ${server} | ${FIGURES.map((figure) => cell(server, figure)).join(" | ")} |`);
}

console.log("");
for (const { server, load, report } of lines) {
  if (report === null) {
    console.log(`* ${server}, ${load}: a round failed.`);
    continue;
  }
  const faults = FAULTS.filter((fault) => report[fault] > 0).map((fault) => `${number(report[fault], 0)} ${fault}`);
  if (faults.length === 0) continue;
  const all = [`${number(report.connections, 0)} connections`];
  if (report.total_expected) all.push(`${number(report.total_expected, 0)} deliveries`);
  console.log(`* ${server}, ${load}: ${faults.join(", ").replaceAll("_", " ")}, of ${all.join(" and ")}.`);
}
const others = lines.map(({ report }) => report?.other_cores ?? 0);
const busy = others.filter((cores) => cores > OTHER_CORES_MAX).length;
console.log(
  `other_cores: median ${number(median(others), 2)}, at most ${number(Math.max(...others), 2)}; ` +
    `above ${OTHER_CORES_MAX} in ${busy} of ${others.length} measurements.`,
);
process.exitCode = lines.some(({ report }) => report === null) ? 1 : 0;
