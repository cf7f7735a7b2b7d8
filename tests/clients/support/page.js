// Pages in which both clients can be imported, though neither is a part of the server.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./testbed.js";

/** Where a page finds the files of this repository. */
const FILES = "/client/";

/** Opens a page of a browser's, or of a context of its, at `url`. What goes wrong in it is printed. */
export async function openPage(browser, url) {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error("page error:", error));
  await page.route(`**${FILES}**`, (route) => {
    const path = new URL(route.request().url()).pathname.slice(FILES.length);
    return route.fulfill({ body: readFileSync(join(root, path)), contentType: "text/javascript" });
  });
  await page.goto(url);
  return page;
}
