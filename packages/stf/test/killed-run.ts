/** Runs that are killed at random moments, and continued by the command that started them. */

import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { readSafetensorsMetadata } from "@stf/torch";
import { expect } from "vitest";
import { Dice } from "../../../test/mutations.js";
import { stampedNames } from "../src/run/files.js";
import { blobs, idxBytes } from "./support.js";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const slowFiles = new URL("slow-files.mjs", import.meta.url).href;

const BATCH = 16;
/** Steps that a run gets per kill: a few more than it makes until then. */
const STEPS_PER_KILL = 3;
/** The latest step, and milliseconds after it, at which a process is killed. */
const LATEST = { step: 4, milliseconds: 250 };

/** A checkpoint after every step. */
const options = [
  "--data=spots-images-idx3-ubyte",
  ...["--cbase=8", "--cres=1,2", "--num-blocks=1", "--attn=4", "--dropout=0.1"],
  ...[`--batch=${BATCH}`, "--stf", "--rbatch=32", "--lr-rampup=0", "--seed=1", "--keep=3"],
  ...[`--tick=${BATCH / 1000}`, "--snap=1", "--dump=1", "--save-every=0", "--outdir=runs"],
];

interface Ended {
  readonly code: number | null;
  readonly stderr: string;
}

/** When a process is killed: so many steps after it has begun, and then some milliseconds. */
interface Moment {
  readonly steps: number;
  readonly milliseconds: number;
}

/** Runs the command, and kills it at a moment. Counted in steps, so that slow machines come as far as fast ones. */
function stf(folder: string, args: readonly string[], kill?: Moment): Promise<Ended> {
  const preloaded = kill ? ["--import", slowFiles] : [];
  const child = spawn(process.execPath, [...preloaded, main, ...args], {
    cwd: folder,
    env: { ...process.env, OMP_NUM_THREADS: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  let stdout = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    const steps = (stdout.match(/ kimg/g) ?? []).length;
    const isDue = kill && (kill.steps === 0 ? stdout.includes("run folder") : steps >= kill.steps);
    if (isDue) void setTimeout(kill.milliseconds).then(() => child.kill("SIGKILL"));
  });
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, stderr })));
}

const states = (run: string): string[] => stampedNames(readdirSync(run), "training-state");

/** Images seen according to the latest state; 0 before the first. Every state has its header. */
function imagesSeen(run: string): number {
  const seen = states(run).map((name) => {
    const clock = readSafetensorsMetadata(join(run, name))["clock"] as string;
    return (JSON.parse(clock) as { images: number }).images;
  });
  return Math.max(0, ...seen);
}

const tensorsOf = (path: string): Buffer => {
  const file = readFileSync(path);
  return file.subarray(8 + Number(file.readBigUInt64LE()));
};

/** Kills a run so often, and checks that it loses nothing and ends like one that was never killed. */
export async function killAgainAndAgain(kills: number, seed: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "stf-killed-"));
  try {
    const bank = blobs(64, 8);
    const pixels = idxBytes([64, 8, 8], bank.pixels.toTypedArray() as Uint8Array);
    writeFileSync(join(folder, "spots-images-idx3-ubyte"), pixels);
    bank.dispose();
    const steps = STEPS_PER_KILL * kills;
    const command = (name: string): string[] => [
      ...["train", ...options, `--duration=${(steps * BATCH) / 1e6}`, `--name=${name}`],
    ];
    expect(await stf(folder, command("straight"))).toEqual({ code: 0, stderr: "" });
    const [straight, killed] = [join(folder, "runs", "straight"), join(folder, "runs", "killed")];
    const dice = new Dice(seed);
    let seen = 0;
    let insideSaves = 0;
    for (let done = 0; done < kills; done++) {
      const moment = { steps: dice.below(LATEST.step), milliseconds: dice.below(LATEST.milliseconds) };
      const { code, stderr } = await stf(folder, command("killed"), moment);
      expect(stderr, `kill ${done + 1}`).toBe("");
      expect(code, `kill ${done + 1}`).toBeNull();
      // What is on the disk is whole, whatever moment it was.
      if (readdirSync(killed).some((name) => name.endsWith(".partial"))) insideSaves++;
      const now = imagesSeen(killed);
      expect(now).toBeGreaterThanOrEqual(seen);
      seen = now;
    }
    expect(seen).toBeGreaterThan(0);
    expect(insideSaves, "kills inside saves").toBeGreaterThan(kills / 10);
    expect(await stf(folder, command("killed"))).toEqual({ code: 0, stderr: "" });

    const leftovers = readdirSync(killed).filter((name) => name.startsWith(".") && name !== ".lock");
    expect(leftovers).toEqual([]);
    const last = states(straight).at(-1) as string;
    expect(states(killed).at(-1)).toBe(last);
    expect(tensorsOf(join(killed, last)).equals(tensorsOf(join(straight, last)))).toBe(true);
    const lines = readFileSync(join(killed, "stats.jsonl"), "utf8").trimEnd().split("\n");
    for (const line of lines) expect(() => JSON.parse(line)).not.toThrow();
    const kimg = lines.map((line) => (JSON.parse(line) as Record<string, { mean: number }>)["Progress/kimg"]?.mean);
    expect(kimg).toEqual(kimg.toSorted((a, b) => Number(a) - Number(b)));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
