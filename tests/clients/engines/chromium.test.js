import { all } from "./all.js";

all("chromium");
