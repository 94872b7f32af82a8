// @ts-check
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The project's folder. */
export const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * Where the output of a step is kept.
 * @param {string} step
 */
export function logFile(step) {
  return join(root, "build", "logs", `${step}.log`);
}
