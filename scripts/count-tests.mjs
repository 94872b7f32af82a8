// @ts-check
/**
 * Prints "N passed, N failed" for a test run and fails when it did.
 * Usage: node count-tests.mjs REPORT STATUS, where REPORT is what Vitest's json reporter wrote and STATUS is how the
 * whole command ended.
 */

import { readFileSync } from "node:fs";

/**
 * @typedef {object} Report
 * @property {number} numPassedTests
 * @property {number} numFailedTests
 * @property {number} numPendingTests
 * @property {number} numTodoTests
 * @property {{ status: string, assertionResults: unknown[] }[]} testResults
 */

/** @param {string} path @returns {Report | undefined} */
function readReport(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch {
    return undefined;
  }
}

/** @param {Report | undefined} report @param {boolean} succeeded */
function count(report, succeeded) {
  const passed = report?.numPassedTests ?? 0;
  const skipped = (report?.numPendingTests ?? 0) + (report?.numTodoTests ?? 0);
  // A file that cannot be loaded has no tests to count.
  const unloaded = report?.testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0);
  const failed = (report?.numFailedTests ?? 0) + (unloaded?.length ?? 0);
  // A failed check, a crashed worker and a run without tests leave no failed test in the report.
  const sound = succeeded && passed > 0;
  return { passed, failed: sound ? failed : Math.max(1, failed), skipped };
}

const [report = "", status = ""] = process.argv.slice(2);
const { passed, failed, skipped } = count(readReport(report), status === "0");
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exitCode = failed > 0 ? 1 : 0;
