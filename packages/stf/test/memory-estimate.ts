/** The memory that a dry run expects, and the peak of the training itself. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import type { TrainingEstimate } from "../src/jobs/estimate.js";
import { commandIn } from "./cli-support.js";
import { blobs, idxBytes } from "./support.js";

const SIZE = 32;

/** Trains for three steps of a batch, and compares. */
export async function expectMemoryAsEstimated(batch: number, options: readonly string[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "stf-memory-"));
  try {
    const bank = blobs(512, SIZE);
    const pixels = idxBytes([512, SIZE, SIZE], bank.pixels.toTypedArray() as Uint8Array);
    writeFileSync(join(folder, "spots-images-idx3-ubyte"), pixels);
    bank.dispose();
    const { stf } = commandIn(folder);
    const args = [
      ...["train", "--preset=published", "--data=spots-images-idx3-ubyte", "--augment=0", "--seed=0", "--save-every=0"],
      ...[`--batch=${batch}`, `--duration=${(3 * batch) / 1e6}`, "--tick=0.001", ...options],
    ];
    const dry = await stf([...args, "--dry-run", "--json"]);
    const { estimate } = JSON.parse(dry.stdout) as { estimate: TrainingEstimate };
    expect(await stf([...args, "--name=run"])).toMatchObject({ code: 0, stderr: "" });
    const lines = readFileSync(join(folder, "runs", "run", "stats.jsonl"), "utf8")
      .trimEnd()
      .split("\n");
    const last = JSON.parse(lines.at(-1) as string) as Record<string, { mean: number }>;
    const measured = 2 ** 30 * (last["Resources/peak_cpu_mem_gb"]?.mean ?? Number.NaN);
    const found = estimate.memory.peak / measured;
    const mebibytes = `${(estimate.memory.peak / 2 ** 20).toFixed(0)} of ${(measured / 2 ** 20).toFixed(0)} MiB`;
    expect(Math.abs(Math.log(found)), mebibytes).toBeLessThan(Math.log(1.2));
    // Or the program alone would do.
    const { activations, drawing } = estimate.memory;
    expect(Math.max(activations, drawing)).toBeGreaterThan(0.3 * measured);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
