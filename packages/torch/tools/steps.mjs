// @ts-check
/**
 * Running the steps of setup and build: one short line for the user, the whole output in a log file, and its end on
 * the terminal when a step fails. Uses only Node's own modules, since this runs before any package is installed.
 */

import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { dirname } from "node:path";

const TAIL_LINES = 40;

/** A failure that the user can act on; only its message is shown. */
export class StepError extends Error {}

/**
 * @typedef {object} Step
 * @property {string} title The step's description, such as "Installing npm packages".
 * @property {string} name The step's name in an error, such as "npm install".
 * @property {string} command
 * @property {readonly string[]} args
 * @property {string} log File for the whole output.
 * @property {string} hint What to try when the command fails.
 * @property {string} [cwd]
 * @property {NodeJS.ProcessEnv} [env]
 * @property {boolean} [quiet] Announce the step only when it takes longer than a second.
 */

/**
 * Runs a command to its end.
 * @param {Step} step
 */
export async function runStep(step) {
  const progress = showProgress(step);
  const outcome = await runLogged(step);
  progress.stop();
  if (outcome === undefined) {
    progress.done();
    return;
  }
  printTail(step);
  throw new StepError(`${step.name} must succeed; it ${outcome}. ${step.hint}`);
}

/**
 * @param {Step} step
 * @returns {Promise<string | undefined>} how it failed, or undefined when it succeeded
 */
function runLogged({ command, args, log, cwd, env }) {
  mkdirSync(dirname(log), { recursive: true });
  const file = openSync(log, "w");
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env: env ?? process.env, stdio: ["ignore", file, file] });
    closeSync(file);
    child.on("error", (error) => resolve(`could not be started (${error.message})`));
    child.on("close", (code, signal) => {
      if (code === 0) resolve(undefined);
      else resolve(signal ? `was ended by signal ${signal}` : `ended with exit code ${code}`);
    });
  });
}

/** @param {Step} step */
function showProgress({ title, quiet }) {
  const started = performance.now();
  const seconds = () => Math.round((performance.now() - started) / 1000);
  const rewrites = process.stdout.isTTY === true;
  let announced = false;
  const announce = () => {
    if (!announced) console.log(`${title} ...`);
    announced = true;
  };
  if (!quiet) announce();
  const timer = setInterval(() => {
    announce();
    if (rewrites) process.stdout.write(`\r  ${seconds()} s`);
  }, 1000);
  return {
    stop: () => clearInterval(timer),
    done: () => {
      if (announced) console.log(`${rewrites ? "\r" : ""}  done in ${seconds()} s`);
    },
  };
}

/** @param {Step} step */
function printTail({ log }) {
  const lines = readFileSync(log, "utf8").trimEnd().split("\n");
  const shown = lines.slice(-TAIL_LINES);
  const part = shown.length < lines.length ? `the last ${TAIL_LINES} of ${lines.length} lines` : "all of it";
  console.error(`\n--- output, ${part} ---\n${shown.join("\n")}\n--- kept in ${log} ---\n`);
}

/**
 * Runs a script's main function; a failure that the user can act on becomes one message and exit code 1, without a stack trace.
 * @param {() => Promise<unknown>} main
 */
export async function runMain(main) {
  try {
    await main();
  } catch (error) {
    process.exitCode = 1;
    if (error instanceof StepError) console.error(error.message);
    else if (isSystemError(error))
      console.error(`The project's folder must be readable and writable: ${error.message}.`);
    else throw error;
  }
}

/**
 * @param {unknown} error
 * @returns {error is NodeJS.ErrnoException}
 */
function isSystemError(error) {
  return error instanceof Error && "syscall" in error;
}
