import { crowd } from "./support/crowd.js";

await crowd("1.7.21");
