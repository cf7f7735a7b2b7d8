import { suite } from "./support/suite.js";

await suite("1.8.16");
