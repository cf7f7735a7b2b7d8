// Memory of a process, from outside.

import { readFileSync, writeFileSync } from "node:fs";

const field = (pid, name) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) * 1024;

/** Bytes that are resident now. */
export const resident = (pid) => field(pid, "VmRSS");

/** The most that were since `forgetPeak`. */
export const peak = (pid) => field(pid, "VmHWM");

export const forgetPeak = (pid) => writeFileSync(`/proc/${pid}/clear_refs`, "5");

export const MB = 1e6;
