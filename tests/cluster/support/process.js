// What a process takes, from outside. Linux alone says it.

import { readFileSync } from "node:fs";

/** Microseconds in a tick of the kernel's clock, as it counts in /proc. */
const TICK_US = 10_000;

/** Microseconds of processor time so far. */
export function cpuOf(pid) {
  // Its name, in brackets, may have anything in it.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}
