/** The command as a process, for tests. */

import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Started {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves when the output so far matches; rejects when the process ends first. */
  saying(pattern: RegExp): Promise<void>;
}

/** What runs the command in a folder. */
export interface Command {
  start(args: readonly string[], env?: Record<string, string>): Started;
  stf(args: readonly string[], env?: Record<string, string>): Promise<Ended>;
  /** A run that fails says so in one line and nothing else, and leaves no new file. */
  expectFailure(code: number, args: readonly string[], says: RegExp): Promise<void>;
  /** Ends what was started here: a test that fails must not leave a process behind. */
  killAll(): void;
}

export function commandIn(folder: string): Command {
  const running = new Set<ChildProcess>();

  function start(args: readonly string[], env: Record<string, string> = {}): Started {
    const child = spawn(process.execPath, [main, ...args], {
      cwd: folder,
      // Test files run side by side.
      env: { ...process.env, OMP_NUM_THREADS: "1", ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(child);
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    const ended = new Promise<Ended>((resolve) => {
      child.on("close", (code) => {
        running.delete(child);
        resolve({ code, stdout, stderr });
      });
    });
    const saying = (pattern: RegExp): Promise<void> =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          if (pattern.test(stdout)) resolve();
        };
        look();
        child.stdout.on("data", look);
        void ended.then(() => reject(new Error(`ended without saying ${pattern}: ${stdout}${stderr}`)));
      });
    return { child, ended, saying };
  }

  const stf = (args: readonly string[], env?: Record<string, string>): Promise<Ended> => start(args, env).ended;

  /** A run that fails says so in one line and nothing else. */
  async function expectFailure(code: number, args: readonly string[], says: RegExp): Promise<void> {
    const before = readdirSync(folder).sort();
    const ended = await stf(args);
    expect(ended.stderr).toMatch(/^stf: [^\n]+\n$/);
    expect(ended.stderr).toMatch(says);
    expect(ended.stderr).not.toMatch(/\bat .*:\d+:\d+|node:internal|\.js:/);
    expect(ended.stdout).toBe("");
    expect(ended.code).toBe(code);
    expect(readdirSync(folder).sort()).toEqual(before);
  }

  const killAll = (): void => {
    for (const child of running) child.kill("SIGKILL");
  };
  return { start, stf, expectFailure, killAll };
}
