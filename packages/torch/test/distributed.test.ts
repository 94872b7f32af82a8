/** Collectives, sums of gradients during the backward pass, and the watch, in three processes that really meet. */

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";

const script = fileURLToPath(new URL("distributed-rank.mjs", import.meta.url));
const SIZE = 3;

interface Report {
  readonly sum: number[];
  readonly told: number;
  readonly gathered: number[][];
  readonly whole: number[];
  readonly rounds: readonly { readonly gradients: number[]; readonly early: number }[];
  readonly buckets: number;
  readonly words: string[];
  readonly before: string;
  readonly isDoubled: boolean;
  readonly failure: string;
}

function start(rank: number, port: number) {
  const child = spawn(process.execPath, [script, String(rank), String(SIZE), String(port)], {
    env: { ...process.env, OMP_NUM_THREADS: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [out, err] = ["", ""];
  let onPort = (_port: number): void => {};
  const served = new Promise<number>((resolve) => {
    onPort = resolve;
  });
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
    const [first, ...rest] = out.split("\n");
    if (rest.length > 0) onPort(Number(first));
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    err += text;
  });
  const report = new Promise<Report>((resolve, reject) => {
    child.on("close", (code) => {
      const last = out.trim().split("\n").at(-1) as string;
      if (code === 0) resolve(JSON.parse(last) as Report);
      else reject(new Error(`rank ${rank} ended with ${code}: ${err}`));
    });
  });
  return { served, report };
}

describe("three processes", () => {
  let reports: readonly Report[];

  beforeAll(async () => {
    const first = start(0, 0);
    const port = await Promise.race([first.served, first.report.then(() => 0)]);
    const others = [1, 2].map((rank) => start(rank, port));
    reports = await Promise.all([first, ...others].map(({ report }) => report));
  }, 60_000);

  test("sums are those of all, bit for bit the same everywhere", () => {
    const [sum] = reports.map((each) => each.sum) as [number[]];
    expect(sum[0]).toBe(6);
    expect(sum[1]).toBeCloseTo(0.6, 6);
    expect(sum[2]).toBeCloseTo(1 / 3 + 1 / 4 + 1 / 5, 6);
    for (const each of reports) expect(each.sum).toEqual(sum);
  });

  test("a broadcast is that of its root, gathered rows are those of each", () => {
    for (const each of reports) {
      expect(each.told).toBe(1);
      expect(each.gathered).toEqual([
        [0, 0],
        [1, 10],
        [2, 20],
      ]);
    }
  });

  test("gradients of parts sum up to those of the whole, with parameters that take no part", () => {
    for (const { rounds, whole } of reports) {
      for (const { gradients } of rounds) {
        expect(gradients).toHaveLength(whole.length);
        const scale = Math.max(...whole.map(Math.abs));
        const error = Math.max(...gradients.map((value, i) => Math.abs(value - (whole[i] as number))));
        expect(error / scale).toBeLessThan(1e-6);
      }
      expect(rounds[1]?.gradients).toEqual(rounds[0]?.gradients);
    }
    const [first] = reports as [Report];
    for (const { rounds } of reports) expect(rounds[0]?.gradients).toEqual(first.rounds[0]?.gradients);
  });

  test("what a pass has completed is summed before its end; without being announced, nothing is", () => {
    for (const { rounds, buckets } of reports) {
      expect(buckets).toBeGreaterThan(2);
      // The last parameters come first; then one waits for parameters that take no part, and the rest behind it.
      expect(rounds[0]?.early).toBeGreaterThan(0);
      expect(rounds[0]?.early).toBeLessThan(buckets);
      expect(rounds[1]?.early).toBe(0);
    }
  });

  test("each hears the words of all, and the first failure", () => {
    for (const each of reports) {
      expect(each.words).toEqual(["words of 0", "words of 1", "words of 2"]);
      expect(each.failure).toBe("something broke");
      expect(each.isDoubled).toBe(false);
    }
    expect(reports[1]?.before).toBe("");
  });
});
