/** One training in several processes: the same weights as in one, and an end for all when one of them ends. */

import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadSafetensors, scope, type Tensor } from "@stf/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { stampedNames } from "../src/run/files.js";
import { type Command, commandIn, type Ended, type Started } from "./cli-support.js";
import { startRanks } from "./ranks-support.js";
import { blobs, idxBytes } from "./support.js";

const BATCH = 16;
const STEPS = 4;
/** Two sums of the same numbers in different orders differ by so much of their size, and a step of Adam by little more. */
const PER_STEP = 1e-6;

let folder: string;
let command: Command;

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

const training = [
  ...["train", "--data=spots-images-idx3-ubyte", "--preset=published", "--outdir=runs", "--seed=1", "--lr-rampup=0"],
  ...["--cbase=8", "--cres=1,2", "--num-blocks=1", "--attn=4", `--batch=${BATCH}`, "--stf", "--rbatch=32"],
  ...[`--tick=${BATCH / 1000}`, "--snap=1", "--dump=1", "--save-every=0"],
];
const upTo = (steps: number): string => `--duration=${(steps * BATCH) / 1e6}`;

const runOf = (name: string): string => join(folder, "runs", name);
const states = (name: string): string[] => stampedNames(readdirSync(runOf(name)), "training-state");

/** How far two states are apart: of the weights, averages and moments, the norm of the difference by the norm, the largest of these. */
function differenceOf(one: string, other: string): number {
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

async function expectSuccess(started: readonly Started[]): Promise<void> {
  const ended = await Promise.all(started.map((each) => each.ended));
  for (const { stderr, code } of ended) expect({ stderr, code }).toEqual({ stderr: "", code: 0 });
}

const ends = (started: readonly Started[]): Promise<Ended[]> => Promise.all(started.map((each) => each.ended));

describe("the same weights, step by step,", () => {
  for (const [name, options, size] of [
    ["in two processes as in one", [], 2],
    ["with classes, augmentation, dropout and micro-batches of another size", ["--cond", "--batch-gpu=3"], 2],
    [
      "in three, with parts of different sizes, all references and recomputation",
      ["--rbatch=all", "--augment=0", "--recompute"],
      3,
    ],
    [
      "in four, in bf16 with a limit on gradients and two averages",
      ["--clip=0.5", "--average=power", "--augment=0"],
      4,
    ],
  ] as const) {
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

  test("a run goes on with another number of processes", { timeout: 240_000 }, async () => {
    const start = [...training, "--name=straight", "--augment=0"];
    await expectSuccess([command.start([...start, upTo(STEPS)])]);
    const change = [...training, "--name=change", "--augment=0"];
    await expectSuccess(await startRanks(command, 3, [...change, upTo(1)]));
    await expectSuccess(await startRanks(command, 2, [...change, upTo(3)]));
    await expectSuccess([command.start([...change, upTo(STEPS)])]);
    const [last] = states("straight").slice(-1) as [string];
    expect(differenceOf(join(runOf("straight"), last), join(runOf("change"), last))).toBeLessThan(PER_STEP * STEPS);
  });
});

describe("one end for all", () => {
  const long = [...training, "--duration=10", "--augment=0", "--snap=1000", "--dump=1000"];

  test("Ctrl-C at one process saves once and stops all", { timeout: 60_000 }, async () => {
    const ranks = await startRanks(command, 2, [...long, "--name=stopped"]);
    await ranks[0]?.saying(/kimg/);
    ranks[1]?.child.kill("SIGINT");
    const [first, second] = (await ends(ranks)) as [Ended, Ended];
    expect([first.code, second.code, first.stderr, second.stderr]).toEqual([130, 130, "", ""]);
    expect(first.stdout).toMatch(/stopped after \d+ images; saved/);
    expect(states("stopped")).toHaveLength(1);
  });

  test("a process that is killed is named by the others", { timeout: 60_000 }, async () => {
    const ranks = await startRanks(command, 3, [...long, "--name=killed"]);
    await ranks[0]?.saying(/kimg/);
    ranks[2]?.child.kill("SIGKILL");
    const [first, second] = (await ends(ranks)) as [Ended, Ended, Ended];
    for (const { code, stderr } of [first, second]) {
      expect(code).toBe(1);
      expect(stderr).toMatch(/^stf: rank 2 \(process \d+ on [^)]+\) is gone: [^\n]+\n$/);
    }
  });

  test("so is the first", { timeout: 60_000 }, async () => {
    const ranks = await startRanks(command, 2, [...long, "--name=killed-first"]);
    await ranks[0]?.saying(/kimg/);
    ranks[0]?.child.kill("SIGKILL");
    const [, second] = (await ends(ranks)) as [Ended, Ended];
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(/^stf: rank 0 \(process \d+ on [^)]+\) is gone: [^\n]+\n$/);
  });

  test("a divergence is one for all, and so is the return", { timeout: 60_000 }, async () => {
    const options = [...training, "--augment=0", "--name=diverged", "--lr=1e30", "--on-divergence=stop", upTo(40)];
    const [first, second] = (await ends(await startRanks(command, 2, [...options, "--max-skipped=2"]))) as [
      Ended,
      Ended,
    ];
    expect(first.code).toBe(1);
    expect(first.stderr).toMatch(/^stf: training diverged after \d+ images/);
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(/^stf: rank 0 ended: training diverged/);
  });

  test("different options are found in all of them, before anything is written", { timeout: 60_000 }, async () => {
    const ranks = await startRanks(command, 2, [...long, "--name=different"], {
      args: (rank) => [`--lr=${rank === 0 ? 0.001 : 0.002}`],
    });
    for (const { code, stderr } of await ends(ranks)) {
      expect(code).toBe(2);
      expect(stderr).toBe(
        "stf: all processes must have the same options; --lr is 0.001 for rank 0 and 0.002 for rank 1\n",
      );
    }
    expect(existsSync(runOf("different"))).toBe(false);
  });

  test("so are different images", { timeout: 60_000 }, async () => {
    cpSync(join(folder, "spots-images-idx3-ubyte"), join(folder, "other-images-idx3-ubyte"));
    const bytes = readFileSync(join(folder, "other-images-idx3-ubyte"));
    bytes[100] = (bytes[100] as number) ^ 1;
    writeFileSync(join(folder, "other-images-idx3-ubyte"), bytes);
    const ranks = await startRanks(command, 2, [...long, "--name=different"], {
      args: (rank) => (rank === 0 ? [] : ["--data=other-images-idx3-ubyte"]),
    });
    for (const { code, stderr } of await ends(ranks)) {
      expect(code).toBe(2);
      expect(stderr).toMatch(
        /^stf: all processes must have the same options; --data is "spots[^\n]+ for rank 0 and "other[^\n]+ for rank 1\n$/,
      );
    }
  });
});
