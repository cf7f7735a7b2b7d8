import { all } from "./all.js";

all("firefox");
