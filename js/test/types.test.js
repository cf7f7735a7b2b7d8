// The types: a page that uses all of them compiles, and its planted mistakes do not.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const compiler = fileURLToPath(new URL("../../node_modules/typescript/bin/tsc", import.meta.url));
const project = fileURLToPath(new URL("types", import.meta.url));

test("a page in TypeScript compiles, and its mistakes are found", async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [compiler, "--project", project]).catch((error) => error);
  assert.equal(stdout, "", stdout);
});
