/** One training in several processes: the same weights as in one, and an end for all when one of them ends. */

import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Ended } from "./cli-support.js";
import { startRanks } from "./ranks-support.js";
import {
  command,
  differenceOf,
  ends,
  expectSuccess,
  folder,
  PER_STEP,
  runOf,
  STEPS,
  states,
  testSameWeights,
  training,
  upTo,
} from "./same-weights.js";

describe("the same weights, step by step,", () => {
  testSameWeights(
    "with classes, augmentation, dropout and micro-batches of another size",
    ["--cond", "--batch-gpu=3"],
    2,
  );

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

test.each([
  ["generate --dry-run", ["generate", "--network=net.safetensors", "--seeds=0", "--grid=grid.png", "--dry-run"]],
  ["evaluate --compare", ["evaluate", "--compare", "numbers.json"]],
])("%s, which all would only repeat, is refused", async (name, args) => {
  const ended = await command.stf(args, { RANK: "0", WORLD_SIZE: "2", MASTER_ADDR: "127.0.0.1" });
  expect(ended.stderr).toMatch(/^stf: [^\n]+ cannot divide its work, and was started as one of 2 processes[^\n]+\n$/);
  expect(ended.stderr).toContain(name);
  expect(ended.code).toBe(2);
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

  test("wrong options are so for all", { timeout: 60_000 }, async () => {
    const ranks = await startRanks(command, 2, [...long, "--name=wrong", "--batch=100"]);
    const [first, second] = (await ends(ranks)) as [Ended, Ended];
    expect(first.stderr).toMatch(/^stf: --batch must be at most the 64 images [^\n]+\n$/);
    expect(second.stderr).toMatch(/^stf: rank 0 ended: --batch must be at most the 64 images [^\n]+\n$/);
    expect([first.code, second.code]).toEqual([2, 2]);
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
