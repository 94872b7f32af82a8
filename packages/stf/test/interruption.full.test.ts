/** Runs that are killed at random moments go on as if nothing had happened. */

import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { readSafetensorsMetadata } from "@stf/torch";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Dice } from "../../../test/mutations.js";
import { blobs, idxBytes } from "./support.js";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "stf-killed-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const BATCH = 16;
const STEPS = 150;

/** A checkpoint after every step, so that a random moment is often one inside a write. */
const options = [
  "--data=spots-images-idx3-ubyte",
  ...["--cbase=8", "--cres=1,2", "--num-blocks=1", "--attn=4", "--dropout=0.1"],
  ...[`--batch=${BATCH}`, "--stf", "--rbatch=32", "--lr-rampup=0", "--seed=1"],
  ...[`--duration=${(STEPS * BATCH) / 1e6}`, `--tick=${BATCH / 1000}`, "--snap=1", "--dump=1", "--outdir=runs"],
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
function stf(args: readonly string[], kill?: Moment): Promise<Ended> {
  const child = spawn(process.execPath, [main, ...args], {
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
    if (kill && steps >= kill.steps) void setTimeout(kill.milliseconds).then(() => child.kill("SIGKILL"));
  });
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, stderr })));
}

const states = (run: string): string[] =>
  readdirSync(join(folder, "runs", run)).filter((name) => name.startsWith("training-state"));

/** Images seen according to the latest state; 0 before the first. */
function imagesSeen(run: string): number {
  const latest = states(run).sort().at(-1);
  if (latest === undefined) return 0;
  const clock = readSafetensorsMetadata(join(folder, "runs", run, latest))["clock"] as string;
  return (JSON.parse(clock) as { images: number }).images;
}

beforeAll(async () => {
  const bank = blobs(64, 8);
  writeFileSync(
    join(folder, "spots-images-idx3-ubyte"),
    idxBytes([64, 8, 8], bank.pixels.toTypedArray() as Uint8Array),
  );
  bank.dispose();
  expect((await stf(["train", ...options, "--name=straight"])).stderr).toBe("");
});

test.each([1, 2])("killed again and again, seed %i", async (seed) => {
  const run = `killed-${seed}`;
  const dice = new Dice(seed);
  let kills = 0;
  let seen = 0;
  for (;;) {
    const begun = seen > 0;
    if (!begun) rmSync(join(folder, "runs", run), { recursive: true, force: true });
    const args = begun ? ["train", `--resume=runs/${run}`] : ["train", ...options, `--name=${run}`];
    const { code, stderr } = await stf(args, { steps: dice.below(40), milliseconds: dice.below(60) });
    expect(stderr).toBe("");
    // What is on the disk is whole, whatever moment it was.
    const now = imagesSeen(run);
    expect(now).toBeGreaterThanOrEqual(seen);
    seen = now;
    if (code === 0) break;
    expect(code).toBeNull();
    kills++;
  }
  expect(kills).toBeGreaterThanOrEqual(3);
  expect(seen).toBe(STEPS * BATCH);

  expect(readdirSync(join(folder, "runs", run)).filter((name) => name.startsWith(".") && name !== ".lock")).toEqual([]);
  const name = states("straight").sort().at(-1) as string;
  const [straight, killed] = ["straight", run].map((path) => readFileSync(join(folder, "runs", path, name)));
  const data = (file: Buffer): Buffer => file.subarray(8 + Number(file.readBigUInt64LE()));
  expect(data(killed!).equals(data(straight!))).toBe(true);
  for (const line of readFileSync(join(folder, "runs", run, "stats.jsonl"), "utf8")
    .trimEnd()
    .split("\n")) {
    expect(() => JSON.parse(line)).not.toThrow();
  }
});
