// For `node --import`: what the client itself leaves to chance, its pauses and its jitter, follows from the seed of the run as well.

import { randomOf } from "../hostile/random.js";
import { SEED } from "./seed.js";

Math.random = randomOf(SEED).next;

// The process that only starts the files of tests has nothing to say.
if (!process.execArgv.includes("--test")) {
  process.once("exit", (code) => {
    if (code !== 0) console.error(`SEED=${SEED} ${process.argv[1]}`);
  });
}
