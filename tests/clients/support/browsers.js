// Where the browsers and what drives them are.

import { accessSync, constants, readdirSync } from "node:fs";
import { join } from "node:path";
import { findProgram } from "./proxies.js";

/** By name: the variable that says where it is, its names, and Debian's package. */
const programs = {
  chromium: { variable: "CHROMIUM", names: ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"], from: "chromium" },
  firefox: { variable: "FIREFOX", names: ["firefox-esr", "firefox"], from: "firefox-esr" },
  webkitDriver: { variable: "WEBKIT_DRIVER", names: ["WebKitWebDriver"], from: "webkit2gtk-driver" },
  display: { variable: "XVFB", names: ["Xvfb"], from: "xvfb" },
};

/** The path of a program. */
export function findBrowser(name) {
  const { variable, names, from } = programs[name];
  const candidates = process.env[variable] ? [process.env[variable]] : names;
  for (const candidate of candidates) {
    try {
      return candidate.includes("/") ? executable(candidate) : findProgram(candidate);
    } catch {
      // It may have another name.
    }
  }
  throw new Error(`${candidates[0]} is missing: install the Debian package \`${from}\`, or set ${variable} to the program`);
}

/** The browser around WebKitGTK that its library brings along, somewhere below /usr/lib. */
export function findMiniBrowser() {
  const [path] = [process.env.WEBKIT_BROWSER, ...found("/usr/lib", 2), ...found("/usr/libexec", 1)].filter(Boolean);
  if (!path) throw new Error("MiniBrowser is missing: install the Debian package `webkit2gtk-driver`, or set WEBKIT_BROWSER to it");
  return executable(path);
}

/** The newest first. */
function found(folder, depth) {
  const names = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  const here = names.filter(({ name }) => name.startsWith("webkit2gtk-")).map(({ name }) => join(folder, name, "MiniBrowser"));
  const whole = here.filter(isExecutable).sort().reverse();
  if (depth === 1) return whole;
  return [...whole, ...names.filter(({ name }) => name.includes("linux")).flatMap(({ name }) => found(join(folder, name), depth - 1))];
}

function executable(path) {
  accessSync(path, constants.X_OK);
  return path;
}

function isExecutable(path) {
  try {
    return Boolean(executable(path));
  } catch {
    return false;
  }
}
