// What a process takes, from outside. Linux alone says it.

import { readFileSync } from "node:fs";

/** Microseconds in a tick of the kernel's clock, as it counts in /proc. */
const TICK_US = 10_000;

/** Microseconds of processor time so far; of a process that has ended nobody knows. */
export function cpuOf(pid) {
  let stat;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch (error) {
    if (error.code === "ENOENT") return undefined;
    throw error;
  }
  // Its name, in brackets, may have anything in it.
  const fields = stat.replace(/^.*\) /s, "").split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}
