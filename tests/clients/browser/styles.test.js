// The demo's style sheets, in all engines: one that does not know a selector drops the whole rule.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { root } from "../support/testbed.js";

const folder = join(root, "examples/demo/web");

for (const file of readdirSync(folder).filter((name) => name.endsWith(".css"))) {
  test(`no rule of ${file} is for two engines`, () => {
    const text = readFileSync(join(folder, file), "utf8").replace(/\/\*[^]*?\*\//g, "");
    for (const selectors of text.match(/[^{}]+(?=\{)/g)) {
      const engines = new Set(selectors.match(/::-(moz|webkit)-/g));
      assert.ok(engines.size < 2, selectors.trim());
    }
  });
}
