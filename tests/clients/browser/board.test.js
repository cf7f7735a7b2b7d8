// The example board in a real browser: two people, a script and a moderator.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { launchChromium } from "../engines/chromium.js";
import { root, startBoard } from "../support/testbed.js";
import { until } from "../support/wait.js";

const output = join(root, "tests/output");
const passwords = { PASSWORD: "lapwing", MODERATOR_PASSWORD: "peewit" };

describe("the board", { timeout: 120_000 }, () => {
  let server, browser, ann, ben;

  before(async () => {
    mkdirSync(output, { recursive: true });
    server = await startBoard({ env: { ...passwords, DATABASE: ":memory:" } });
    browser = await launchChromium();
    ann = await open();
    ben = await open();
  });

  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  it("lets nobody in without the password, and says so", async () => {
    await logIn(ben, "Ben", "wrong");
    await ben.locator("#log-in-problem", { hasText: "wrong password" }).waitFor();
    await ben.screenshot({ path: join(output, "board-door.png") });
  });

  it("shows who is there", async () => {
    await logIn(ann, "Ann", passwords.MODERATOR_PASSWORD);
    await logIn(ben, "Ben", passwords.PASSWORD);
    for (const page of [ann, ben]) {
      await page.locator("#status", { hasText: "WebSocket" }).waitFor();
      await seesPeople(page, "Ann", "Ben");
    }
  });

  it("shows a card to everybody, and to who comes later", async () => {
    await add(ann, "todo", "Write the guide");
    await add(ann, "todo", "Count the eggs <b>twice</b>");
    await add(ben, "doing", "Look for a nest");
    for (const page of [ann, ben]) await sees(page, "todo", "Write the guide", "Count the eggs <b>twice</b>");
    await ben.reload();
    await sees(ben, "todo", "Write the guide", "Count the eggs <b>twice</b>");
    await sees(ben, "doing", "Look for a nest");
  });

  it("moves cards by buttons and by dragging", async () => {
    await card(ben, "Write the guide").getByRole("button", { name: "Move right" }).click();
    for (const page of [ann, ben]) await sees(page, "doing", "Look for a nest", "Write the guide");
    await card(ann, "Look for a nest").dragTo(ann.locator('.lane[data-lane="done"]'));
    for (const page of [ann, ben]) {
      await sees(page, "doing", "Write the guide");
      await sees(page, "done", "Look for a nest");
    }
  });

  it("takes cards off", async () => {
    await add(ann, "todo", "A mistake");
    await card(ben, "A mistake").getByRole("button", { name: "Remove" }).click();
    for (const page of [ann, ben]) await sees(page, "todo", "Count the eggs <b>twice</b>");
  });

  it("shows what a script adds, in all pages", async () => {
    const { token } = await ask("POST", "/login", { name: "robot", password: passwords.PASSWORD });
    const added = await ask("POST", "/api/boards/team/cards", { text: "The build is red", lane: "doing" }, token);
    assert.equal(added.author, "robot");
    for (const page of [ann, ben]) await sees(page, "doing", "Write the guide", "The build is red");
  });

  it("goes on when the connection is cut, and is told what came meanwhile", async () => {
    await ben.evaluate(async () => {
      const { default: Lapwing } = await import("lapwing-transport");
      for (const session of Lapwing.instances) session.cut();
    });
    await add(ann, "todo", "Said in the gap");
    await sees(ben, "todo", "Count the eggs <b>twice</b>", "Said in the gap");
    await ben.locator('#status[data-state="open"]').waitFor();
  });

  it("shows what is added while the server is away as waiting, and then as it is", async () => {
    const all = (deed) =>
      ben.evaluate(async (deed) => {
        const { default: Lapwing } = await import("lapwing-transport");
        for (const session of Lapwing.instances) {
          for (const name of ["websocket", "sse", "longpoll"]) session[deed](name);
          if (deed === "forbid") session.cut();
        }
      }, deed);
    await all("forbid");
    await ben.locator('#status:not([data-state="open"])').waitFor();
    await add(ben, "done", "Found it");
    await ben.locator(".card.waiting", { hasText: "Found it" }).waitFor();
    await ben.screenshot({ path: join(output, "board-waiting.png") });
    assert.equal(await card(ann, "Found it").count(), 0);
    await all("allow");
    for (const page of [ann, ben]) await sees(page, "done", "Look for a nest", "Found it");
    await ben.locator(".card.waiting").waitFor({ state: "detached" });
  });

  it("is good to look at, large and small, light and dark", async () => {
    await ann.locator("#people summary").click();
    await ann.screenshot({ path: join(output, "board-desktop.png") });
    await ann.locator("#people summary").click();
    await ann.emulateMedia({ colorScheme: "dark" });
    await ann.screenshot({ path: join(output, "board-desktop-dark.png") });
    await ben.setViewportSize({ width: 390, height: 844 });
    for (const colorScheme of ["light", "dark"]) {
      await ben.emulateMedia({ colorScheme });
      assert.equal(await ben.evaluate("document.documentElement.scrollWidth"), 390, "nothing sticks out");
      await ben.screenshot({ path: join(output, `board-phone-${colorScheme}.png`) });
    }
    await ben.setViewportSize({ width: 1200, height: 760 });
  });

  it("sends away who is removed, at once, and lets them in again later", async () => {
    await ann.locator("#people summary").click();
    await ann.locator("#people-list li", { hasText: "Ben" }).getByRole("button", { name: "Remove" }).click();
    await ben.locator("#removed").waitFor();
    await seesPeople(ann, "Ann");
    await ben.locator("#try-again").click();
    await ben.locator("#removed").waitFor();
    const { token } = await ask("POST", "/login", { name: "Ann", password: passwords.MODERATOR_PASSWORD });
    await ask("PUT", "/api/boards/team/members/Ben", undefined, token);
    await ben.locator("#try-again").click();
    await seesPeople(ann, "Ann", "Ben");
  });

  it("asks for the password again when the server forgot who had logged in", async () => {
    const { port } = server;
    await server.stop("SIGTERM");
    server = await startBoard({ port, env: { ...passwords, DATABASE: ":memory:" } });
    await ann.locator("#log-in-problem", { hasText: "log in again" }).waitFor();
    await logIn(ann, "Ann", passwords.PASSWORD);
    await seesPeople(ann, "Ann");
  });

  async function open() {
    const context = await browser.newContext({ viewport: { width: 1200, height: 760 } });
    context.setDefaultTimeout(20_000);
    const page = await context.newPage();
    page.on("pageerror", (error) => console.error("page error:", error));
    await page.goto(`http://localhost:${server.port}/`);
    return page;
  }

  async function ask(method, path, body, token) {
    const headers = { "content-type": "application/json", authorization: `Bearer ${token}` };
    const response = await fetch(`http://${server.address}${path}`, { method, headers, body: body && JSON.stringify(body) });
    assert.ok(response.ok, `${method} ${path}: ${response.status}`);
    return response.status === 204 ? undefined : response.json();
  }
});

async function logIn(page, name, password) {
  await page.locator("#name").fill(name);
  await page.locator("#password").fill(password);
  await page.locator("#password").press("Enter");
}

async function add(page, lane, text) {
  await page.locator(`.lane[data-lane="${lane}"] .add input`).fill(text);
  await page.locator(`.lane[data-lane="${lane}"] .add input`).press("Enter");
}

const card = (page, text) => page.locator(".card", { hasText: text });

/** Waits until a lane has these cards and no others. */
async function sees(page, lane, ...texts) {
  const shown = () => page.locator(`.lane[data-lane="${lane}"] .card p`).allTextContents();
  await until(`${lane} with ${texts}`, async () => (await shown()).join() === texts.join());
}

/** Waits until the list has these names and no others. */
async function seesPeople(page, ...names) {
  const shown = () => page.locator("#people-list .name").allTextContents();
  await until(`the list ${names}`, async () => (await shown()).toSorted().join() === names.join());
}
