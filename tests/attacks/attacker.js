// One attack, as a process of its own: the attacker is another machine.
//
//     node tests/attacks/attacker.js NAME PORT MOUNT MS WAIT_MS

import { kinds } from "./kinds/index.js";

// That a server hangs up, whatever was being written, is what attackers are used to.
process.on("uncaughtException", (error) => {
  if (!["EPIPE", "ECONNRESET"].includes(error.code)) throw error;
});

const [name, port, mount, ms, wait_ms] = process.argv.slice(2);
const kind = kinds.find((kind) => kind.name === name);
const did = await kind.attack({ port: Number(port), mount, until: Date.now() + Number(ms), wait_ms: Number(wait_ms) });
process.stdout.write(JSON.stringify(did), () => process.exit(0));
