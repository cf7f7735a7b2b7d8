// Another time of day for a program, by faketime: the clock that only runs, by which a node measures, stays as it is.

import { execFileSync } from "node:child_process";

/** Of three nodes: an hour ahead, an hour behind, and right. */
export const HOURS_OFF = ["+1h", "-1h"];
/** How far these are apart at least: answers are not asked for at one moment. */
export const HOURS_OFF_S = 7_100;

/** The environment of a program whose clock is so far off ("+1h"), or right. */
export function clockEnv(offset) {
  if (!offset) return {};
  const library = execFileSync("faketime", ["-f", offset, "printenv", "LD_PRELOAD"], { encoding: "utf8" }).trim();
  return { LD_PRELOAD: library, FAKETIME: offset, DONT_FAKE_MONOTONIC: "1" };
}

/** How many seconds the clocks of nodes are apart, as their answers say. */
export async function secondsApart(nodes) {
  const answers = await Promise.all(nodes.map(({ address }) => fetch(`http://${address}/ready`, { headers: { connection: "close" } })));
  const times = answers.map(({ headers }) => Date.parse(headers.get("date")) / 1_000);
  return Math.max(...times) - Math.min(...times);
}
