// The doctor behind some hostile behaviours, and in all words of the document.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { expected, some } from "../doctor/expected.js";
import { reaches, visit } from "../doctor/visit.js";
import { launchChromium } from "../engines/chromium.js";
import { behaviours } from "../hostile/behaviours.js";
import { root, startTestbed } from "../support/testbed.js";
import { axeFaults } from "../support/axe.js";

const output = join(root, "tests/output");

describe("the doctor", { timeout: 300_000 }, () => {
  let testbed, browser;
  before(async () => {
    mkdirSync(output, { recursive: true });
    testbed = await startTestbed({ env: { INSPECT_KEY: "a key that is long enough" } });
    browser = await launchChromium();
  });
  after(async () => {
    await browser?.close();
    await testbed?.stop();
  });

  for (const name of some) {
    it(`names what there is: ${name}`, async () => {
      const behaviour = behaviours.find((behaviour) => behaviour.name === name);
      const { ids, report } = await visit(browser, testbed, behaviour);
      assert.deepEqual(ids, [...expected[name]].sort(), report);
    });
  }

  it("has an expectation for each behaviour, and a row in the document", () => {
    const names = behaviours.map(({ name }) => name);
    assert.deepEqual(Object.keys(expected).sort(), [...names].sort());
    const [, table] = readFileSync(join(root, "docs/networks.md"), "utf8").split("<!-- doctor:begin -->");
    for (const name of names) assert.ok(table.includes(`\n| ${name} | `), `docs/networks.md lacks ${name}: run scripts/doctor`);
  });

  it("is a page that everybody can read", async () => {
    for (const [name, options] of looks) {
      const context = await browser.newContext({ ...options, bypassCSP: true });
      const page = await context.newPage();
      const faults = [];
      page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
      page.on("pageerror", (error) => faults.push(String(error)));
      await page.goto(`http://${testbed.address}/doctor`);
      await reaches(page, "over");
      assert.deepEqual(await axeFaults(page), []);
      assert.deepEqual(faults, []);
      await page.screenshot({ path: join(output, `doctor-${name}.png`), fullPage: true });
      await context.close();
    }
  });
});

const looks = [
  ["light", { colorScheme: "light", viewport: { width: 900, height: 700 } }],
  ["dark-phone", { colorScheme: "dark", viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true }],
];
