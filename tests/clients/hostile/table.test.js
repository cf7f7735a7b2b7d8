// The tables that scripts/guarantees writes, and that those in the documents are such tables.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { root } from "../support/testbed.js";
import { behaviours } from "./behaviours.js";
import { comparison, groups, networks, replaced, summary } from "./table.js";

const whole = { firstMs: 20, transport: "sse", backMs: 7_040, survivedMs: 1_234 };
const platformsOf = (results) => ["Node", "Chromium"].map((name) => ({ name, results }));
const all = Object.fromEntries(behaviours.map(({ name }) => [name, whole]));

describe("the tables", () => {
  it("have a row for each behaviour, and say what was seen of it", () => {
    const rows = networks(behaviours, platformsOf(all)).split("\n").slice(4);
    assert.equal(rows.length, behaviours.length);
    assert.equal(rows[1], "| connections are killed after 300 ms | 20 | sse | 1234 | 7.0 | ✓ |");
    assert.ok(!rows.join().includes("✗"));
  });

  it("call nothing intact of which one scenario did not come to a good end", () => {
    const { survivedMs: _, ...half } = whole;
    const some = { ...all, "connections go half-open": half };
    const platforms = [{ name: "Node", results: all }, { name: "Chromium", results: some }];
    assert.match(networks(behaviours, platforms), /\| connections go half-open .* ✓ · ✗ \|/);
    const before = summary(behaviours, platformsOf(all));
    assert.match(before, /\| connections stay open and carry nothing \| 6 of 6 \| 1.2 s \|/);
    assert.match(summary(behaviours, platforms), /\| connections stay open and carry nothing \| 5 of 6 \|/);
  });

  it("have each behaviour in one group", () => {
    assert.throws(() => summary([...behaviours, { name: "a new one" }], platformsOf(all)), /not in one group: a new one/);
    const names = new Set(behaviours.map(({ name }) => name));
    for (const [, members] of groups) for (const name of members) assert.ok(names.has(name), `${name} is no behaviour`);
  });

  it("show the stock client beside ours", () => {
    const counts = { sent: 1_200, doubled: 0, rejoins: 3, flaps: 6, worstMs: 2_340 };
    const rows = [{ name: "a fault", clients: [{ name: "one", lost: 7, ...counts }, { name: "other", lost: 0, ...counts }] }];
    const [, , first, second] = comparison(rows).split("\n");
    assert.equal(first, "| a fault | one | 7 of 1200 | 0 | 3 × | 6 × | 2.3 s |");
    assert.equal(second, "|  | other | 0 of 1200 | 0 | 3 × | 6 × | 2.3 s |");
  });

  it("find their places in the documents, which have nothing lost in them", () => {
    for (const file of ["README.md", "docs/networks.md"]) {
      const text = readFileSync(join(root, file), "utf8");
      for (const name of ["networks", "comparison"]) assert.ok(replaced(text, name, "x").includes(`${name}:begin -->\nx\n<!--`), file);
      assert.ok(!text.includes("✗"), `${file}: something was not intact`);
    }
    assert.throws(() => replaced("nothing", "networks", "x"), /lacks <!-- networks:begin -->/);
    const written = readFileSync(join(root, "docs/networks.md"), "utf8");
    for (const { name } of behaviours) assert.ok(written.includes(`\n| ${name} | `), `docs/networks.md lacks ${name}: run scripts/guarantees`);
  });
});
