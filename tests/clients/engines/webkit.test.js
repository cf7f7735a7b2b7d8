import { all } from "./all.js";

all("webkit");
