// @ts-check
import { findCommand } from "../packages/torch/tools/find-libtorch.mjs";

const COMMANDS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/**
 * The path of a browser for tests of pages: Chromium or Chrome, or what the environment variable CHROMIUM names.
 * @returns {string | undefined}
 */
export function findBrowser() {
  const commands = [process.env["CHROMIUM"], ...COMMANDS].filter((command) => command !== undefined);
  return commands.map((command) => findCommand(command)).find((path) => path !== undefined);
}
