/** Trainings in several processes against the same in one: a data set, and how far states are apart. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadSafetensors, scope, type Tensor } from "@stf/torch";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stampedNames } from "../src/run/files.js";
import { type Command, commandIn, type Ended, type Started } from "./cli-support.js";
import { startRanks } from "./ranks-support.js";
import { blobs, idxBytes } from "./support.js";

export const BATCH = 16;
export const STEPS = 4;
/** Two sums of the same numbers in different orders differ by so much of their size, and a step of Adam by little more. */
export const PER_STEP = 1e-6;

export let folder: string;
export let command: Command;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "stf-ranks-"));
  command = commandIn(folder);
  const bank = blobs(64, 8);
  writeFileSync(
    join(folder, "spots-images-idx3-ubyte"),
    idxBytes([64, 8, 8], bank.pixels.toTypedArray() as Uint8Array),
  );
  const labels = Uint8Array.from({ length: 64 }, (_, i) => (i * 7) % 3);
  writeFileSync(join(folder, "spots-labels-idx1-ubyte"), idxBytes([64], labels));
  bank.dispose();
});

afterAll(() => {
  command.killAll();
  rmSync(folder, { recursive: true, force: true });
});

export const training = [
  ...["train", "--data=spots-images-idx3-ubyte", "--preset=published", "--outdir=runs", "--seed=1", "--lr-rampup=0"],
  ...["--cbase=8", "--cres=1,2", "--num-blocks=1", "--attn=4", `--batch=${BATCH}`, "--stf", "--rbatch=32"],
  ...[`--tick=${BATCH / 1000}`, "--snap=1", "--dump=1", "--save-every=0"],
];
export const upTo = (steps: number): string => `--duration=${(steps * BATCH) / 1e6}`;

export const runOf = (name: string): string => join(folder, "runs", name);
export const states = (name: string): string[] => stampedNames(readdirSync(runOf(name)), "training-state");

/** How far two states are apart: of the weights, averages and moments, the norm of the difference by the norm, the largest of these. */
export function differenceOf(one: string, other: string): number {
  const [left, right] = [one, other].map((path) => loadSafetensors(path).tensors) as [
    Map<string, Tensor>,
    Map<string, Tensor>,
  ];
  expect([...left.keys()]).toEqual([...right.keys()]);
  const squares = new Map<string, { difference: number; norm: number }>();
  for (const [name, tensor] of left) {
    const part = name.split(".", 1)[0] as string;
    const sums = squares.get(part) ?? { difference: 0, norm: 0 };
    squares.set(part, sums);
    scope(() => {
      const exact = tensor.double();
      sums.difference += exact
        .sub(right.get(name)?.double() as Tensor)
        .square()
        .sum()
        .item();
      sums.norm += exact.square().sum().item();
    });
  }
  for (const tensor of [...left.values(), ...right.values()]) tensor.dispose();
  return Math.max(...[...squares.values()].map(({ difference, norm }) => Math.sqrt(difference / norm)));
}

export async function expectSuccess(started: readonly Started[]): Promise<void> {
  const ended = await Promise.all(started.map((each) => each.ended));
  for (const { stderr, code } of ended) expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
}

export const ends = (started: readonly Started[]): Promise<Ended[]> => Promise.all(started.map((each) => each.ended));

/** A training in `size` processes has the weights and losses of one, after every step. */
export function testSameWeights(name: string, options: readonly string[], size: number): void {
  test(name, { timeout: 240_000 }, async () => {
    const run = `${size}${options.length}`;
    await expectSuccess([command.start([...training, upTo(STEPS), `--name=${run}-alone`, ...options])]);
    await expectSuccess(await startRanks(command, size, [...training, upTo(STEPS), `--name=${run}`, ...options]));
    expect(states(run)).toEqual(states(`${run}-alone`));
    expect(states(run)).toHaveLength(STEPS);
    for (const [i, state] of states(run).entries()) {
      const difference = differenceOf(join(runOf(`${run}-alone`), state), join(runOf(run), state));
      expect(difference, `after ${i + 1} steps`).toBeLessThan(PER_STEP * (i + 1));
    }
    const losses = [run, `${run}-alone`].map((each) =>
      readFileSync(join(runOf(each), "stats.jsonl"), "utf8")
        .trim()
        .split("\n")
        .map((line) => (JSON.parse(line) as { "Loss/loss": { mean: number; num: number } })["Loss/loss"]),
    ) as { mean: number; num: number }[][];
    expect(losses[0]?.map(({ num }) => num)).toEqual(losses[1]?.map(({ num }) => num));
    for (const [i, { mean }] of (losses[0] ?? []).entries()) {
      expect(mean / (losses[1]?.[i]?.mean as number)).toBeCloseTo(1, 5);
    }
  });
}
