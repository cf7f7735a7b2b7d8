// What axe has against a page.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const source = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** The serious faults of a page, each with where it is; none if all can use it. */
export async function axeFaults(page) {
  // Only where the page's policy is put aside: it lets nothing be evaluated.
  await page.evaluate(source);
  const violations = await page.evaluate("axe.run().then(({ violations }) => violations)");
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  return serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
}
