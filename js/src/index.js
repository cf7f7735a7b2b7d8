// The whole of the package: one class.

export { Lapwing, Lapwing as default } from "./lapwing.js";
