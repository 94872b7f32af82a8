/** Complete pages: one file each, which needs no network and opens from a disk. */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { InputError } from "../common/errors.js";
import { type Content, dataElement, Html, html, scriptElement } from "./html.js";

/** A page. */
export interface PageDocument {
  readonly title: string;
  readonly body: Content;
  /** Bundle of packages/stf/pages that runs in it. */
  readonly script: string;
  /** What the bundle reads. */
  readonly data: unknown;
}

/** The page is to reach nothing but what it holds. */
const POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/** The HTML of a page. */
export function pageDocument({ title, body, script, data }: PageDocument): string {
  const style = readFileSync(new URL("../../pages/style.css", import.meta.url), "utf8");
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>${title}</title>
<style>
${new Html(style)}</style>
</head>
<body>
<main>
${body}
</main>
${dataElement("data", data)}
${scriptElement(readBundle(`${script}.js`))}
</body>
</html>
`.text;
}

/** The path of a bundle, which lies in the same place from src and from dist. */
const bundlePath = (name: string): string =>
  fileURLToPath(new URL(`../../dist/pages/bundles/${name}`, import.meta.url));

const missing = (name: string): InputError =>
  new InputError(`The code of pages must have been built; there is no ${bundlePath(name)}. Run "npm run build".`);

function readBundle(name: string): string {
  try {
    return readFileSync(bundlePath(name), "utf8");
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === "ENOENT" ? missing(name) : error;
  }
}

/** A bundle that runs in Node. It is loaded when a plot is drawn, since it holds a plotting library and a DOM. */
export function loadBundle(name: string): unknown {
  try {
    return createRequire(import.meta.url)(bundlePath(name));
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === "MODULE_NOT_FOUND" ? missing(name) : error;
  }
}
