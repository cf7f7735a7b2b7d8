// Counts the codes with which Node's own WebSocket is closed, and prints them: url, length of the message, times.

import { closeCodes } from "./broken.js";

const [url, length, times] = process.argv.slice(2);
const codes = await closeCodes(globalThis.WebSocket, url, "x".repeat(Number(length)), Number(times));
process.stdout.write(JSON.stringify(codes));
