// The documents: what they show of JavaScript can be read, what they show of TypeScript compiles, and their links lead to files.
// (Their Rust is compiled by `cargo test --doc`.)

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "lapwing-documents-"));
after(() => rmSync(folder, { recursive: true }));

const pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "js/README.md"].map((name) => join(root, name));
for (const { parentPath, name } of readdirSync(join(root, "docs"), { recursive: true, withFileTypes: true })) {
  if (name.endsWith(".md")) pages.push(join(parentPath, name));
}

/** Runs Node, and returns what it said if it failed. */
const run = (...args) =>
  promisify(execFile)(process.execPath, args).then(
    () => "",
    ({ stdout, stderr }) => stdout + stderr,
  );

function blocks(text, language) {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, "gm"))].map(([, block]) => block);
}

describe("the documents", { concurrency: 4 }, () => {
  let shown = 0;
  for (const page of pages) {
    const name = relative(root, page);
    const text = readFileSync(page, "utf8");

    const modules = blocks(text, "html").flatMap((block) => [...block.matchAll(/<script type="module">([^]*?)<\/script>/g)]);
    for (const [at, block] of [...blocks(text, "js"), ...modules.map(([, module]) => module)].entries()) {
      shown += 1;
      it(`${name} shows JavaScript that can be read, ${at + 1}`, async () => {
        const file = join(folder, `${name.replaceAll("/", "-")}-${at}.mjs`);
        writeFileSync(file, block);
        assert.equal(await run("--check", file), "");
      });
    }

    for (const [at, block] of blocks(text, "ts").entries()) {
      it(`${name} shows TypeScript that compiles, ${at + 1}`, async () => {
        const project = mkdtempSync(join(folder, "types-"));
        const { compilerOptions } = JSON.parse(readFileSync(join(root, "js/test/types/tsconfig.json"), "utf8"));
        compilerOptions.paths = Object.fromEntries(
          Object.entries(compilerOptions.paths).map(([name, [path]]) => [name, [join(root, "js/test/types", path)]]),
        );
        writeFileSync(join(project, "page.ts"), block);
        writeFileSync(join(project, "package.json"), '{ "type": "module" }');
        writeFileSync(join(project, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["page.ts"] }));
        assert.equal(await run(join(root, "node_modules/typescript/bin/tsc"), "--project", project), "");
      });
    }

    it(`${name} links to what is there`, () => {
      const targets = [...text.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(([, target]) => target);
      const lost = targets.filter((target) => !/^[a-z]+:/.test(target) && !existsSync(join(dirname(page), target)));
      assert.deepEqual(lost, []);
    });
  }
  it("show JavaScript at all", () => assert.ok(shown >= 3));
});
