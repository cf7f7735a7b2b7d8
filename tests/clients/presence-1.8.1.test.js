import { crowd } from "./support/crowd.js";

await crowd("1.8.1");
