// What a process takes, to the nanosecond: what an engine does in ten seconds is a few of the ticks in /proc/PID/stat.

import { readFileSync, readdirSync } from "node:fs";

/** Microseconds of processor time, user and system, of the threads that a process has. */
export function cpuOf(pid) {
  const threads = readdirSync(`/proc/${pid}/task`);
  const times = threads.map((thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]));
  return times.reduce((sum, time) => sum + time, 0) / 1_000;
}
