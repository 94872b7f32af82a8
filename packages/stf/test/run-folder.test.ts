/** What a training leaves behind when its folder cannot be written: nothing that was trained is lost. */

import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import { runWriter } from "../src/checkpoints/run-writer.js";
import { checkpointBytes } from "../src/checkpoints/state-file.js";
import { writePng } from "../src/codecs/png.js";
import { appendLine, Backlog } from "../src/common/backlog.js";
import { InputError } from "../src/common/errors.js";
import { formatIntegers } from "../src/common/text.js";
import type { TrainRequest } from "../src/config/train-request.js";
import { jobContext, type Reporter } from "../src/jobs/context.js";
import { writeOrRescue } from "../src/jobs/rescue.js";
import { RunFolder } from "../src/jobs/run-folder.js";
import { train } from "../src/jobs/train.js";
import type { NetworkConfig } from "../src/networks/build.js";
import { disposeState, initialState } from "../src/training/state.js";
import { listener } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "stf-run-folder-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let data = "";
let run = "";
beforeEach(() => {
  data = join(mkdtempSync(join(folder, "test-")), "images");
  run = join(dirname(data), "run");
  mkdirSync(data);
  for (let i = 0; i < 8; i++) {
    const pixels = Uint8Array.from({ length: 64 }, (_, p) => (p * (i + 3)) % 256);
    writePng(join(data, `${i}.png`), pixels, { channels: 1, height: 8, width: 8 });
  }
});

/** A state after every step, and ten steps. */
const small = (): TrainRequest => ({
  ...{ data, outdir: dirname(run), name: "run", cbase: 4, cres: [1], numBlocks: 1, attn: [0], augment: 0, batch: 8 },
  ...{ lrRampup: 0, duration: 8e-5, tick: 0.008, snap: 1, dump: 1, seed: 3 },
});

/** Trains, and does something after some ticks. */
async function trained(
  request: TrainRequest,
  at: Readonly<Record<number, () => void>>,
): Promise<{ result: Awaited<ReturnType<typeof train>>; warnings: string[]; lines: string[] }> {
  const [warnings, lines]: string[][] = [[], []];
  let ticks = 0;
  const reporter: Reporter = {
    print(line) {
      lines?.push(line);
      if (/ kimg /.test(line)) at[++ticks]?.();
    },
    warn: (line) => void warnings?.push(line),
    printPlain() {},
    update() {},
    clear() {},
  };
  const result = await train(request, jobContext({ reporter }));
  return { result, warnings: warnings ?? [], lines: lines ?? [] };
}

const statsIn = (path: string): number =>
  readFileSync(join(path, "stats.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown).length;

describe("a run folder", () => {
  const block = (): void => {
    renameSync(run, `${run}-away`);
    writeFileSync(run, "in the way");
  };
  const unblock = (): void => {
    rmSync(run);
    renameSync(`${run}-away`, run);
  };

  test("that cannot be written for a while misses nothing afterwards", async () => {
    const { result, warnings, lines } = await trained(small(), { 3: block, 6: unblock });
    expect(result).toMatchObject({
      reason: "finished",
      images: 80,
      state: join(run, "training-state-000000080.safetensors"),
    });
    expect(result.problem).toBeUndefined();
    expect(statsIn(run)).toBe(10);
    const log = readFileSync(join(run, "log.txt"), "utf8").trimEnd().split("\n");
    expect(log.filter((line) => !warnings.includes(line))).toEqual(lines);
    // Lines are one matter; every checkpoint that is missing is another.
    expect(warnings.filter((line) => line.includes("stats.jsonl cannot be written"))).toHaveLength(1);
    expect(warnings.filter((line) => line.includes("log.txt cannot be written"))).toHaveLength(1);
    expect(warnings.filter((line) => /training state after \d+ images cannot be written/.test(line))).toHaveLength(3);
    expect(warnings.join("\n")).toMatch(
      /training state after 24 images cannot be written to .*run: a file of that name exists/,
    );
  });

  test("that cannot be written at the end: the checkpoints are beside it, and go on", async () => {
    const { result } = await trained(small(), { 3: block });
    const rescued = `${run}-rescued`;
    expect(result.state).toBe(join(rescued, "training-state-000000080.safetensors"));
    expect(result.problem).toContain(
      `could not be written to ${run}: a file of that name exists; it is in ${rescued} instead`,
    );
    expect(result.problem).toContain(`'resume=${result.state}'`);
    expect(existsSync(result.snapshot!)).toBe(true);
    expect(result.samples).toBeUndefined();
    // The lines of three ticks are in the folder that was moved away.
    expect([statsIn(`${run}-away`), statsIn(rescued)]).toEqual([3, 7]);
    expect(await train({ resume: result.state, duration: 1e-4 })).toMatchObject({ images: 104, folder: rescued });
  });

  test.each(["renamed", "deleted"])("that is %s is made again", async (what) => {
    const { result, warnings } = await trained(small(), {
      3: () => (what === "renamed" ? renameSync(run, `${run}-away`) : rmSync(run, { recursive: true })),
    });
    expect(result.problem).toBeUndefined();
    expect(warnings).toEqual([expect.stringContaining(`the run folder ${run} was renamed or deleted`)]);
    expect(JSON.parse(readFileSync(join(run, "training_options.json"), "utf8"))).toMatchObject({ seed: 3 });
    expect(existsSync(result.state!)).toBe(true);
    expect(await train({ resume: run, duration: 1e-4 })).toMatchObject({ images: 104 });
  });
});

describe("lines that cannot be written", () => {
  test("wait in their order, and trouble is told once until it is over", () => {
    const written: number[] = [];
    let isFull = false;
    const troubles: unknown[] = [];
    const full = new Error("full");
    const lines = new Backlog<number>(
      (line) => {
        if (isFull) throw full;
        written.push(line);
      },
      (error) => void troubles.push(error),
    );
    lines.add(1);
    isFull = true;
    for (const line of [2, 3]) lines.add(line);
    expect([written, troubles, lines.flush()]).toEqual([[1], [full], full]);
    isFull = false;
    lines.add(4);
    expect([written, lines.flush()]).toEqual([[1, 2, 3, 4], undefined]);
    isFull = true;
    lines.add(5);
    expect(troubles).toEqual([full, full]);
  });

  test("wait for those that are added while one is written", () => {
    const written: string[] = [];
    const lines: Backlog<string> = new Backlog<string>(
      (line) => {
        if (line === "first") lines.add("within");
        written.push(line);
      },
      () => {},
    );
    lines.add("first");
    lines.add("last");
    expect(written).toEqual(["first", "within", "last"]);
  });

  test("are appended", () => {
    const path = join(folder, "lines");
    appendLine(path, "one");
    appendLine(path, "two");
    expect(readFileSync(path, "utf8")).toBe("one\ntwo\n");
  });
});

test("a result is written where there is a place for it, and nowhere when the failure is another", async () => {
  const bytes = (path: string): void => writeFileSync(path, "result");
  const wanted = join(run, "deep", "result.json");
  expect(await writeOrRescue(wanted, bytes)).toEqual({ path: wanted, problem: undefined });
  const blocked = join(data, "0.png", "stf-rescued-result.json");
  const before = process.cwd();
  process.chdir(dirname(run));
  try {
    const { path, problem } = await writeOrRescue(blocked, bytes);
    expect(readFileSync(path, "utf8")).toBe("result");
    expect(path).toBe(join(process.cwd(), "stf-rescued-result.json"));
    expect(problem).toBe(`${blocked} could not be written: a file of that name exists; it is ${path} instead`);
  } finally {
    process.chdir(before);
  }
  const refused = Object.assign(new Error("full"), { code: "ENOSPC" });
  const { path: other } = await writeOrRescue(join(data, "0.png", "x.json"), (path) => {
    if (path.startsWith(join(data, "0.png")) || dirname(path) === process.cwd()) throw refused;
    bytes(path);
  });
  expect(dirname(other)).toBe(tmpdir());
  // Nothing that lies there is overwritten.
  const again = await writeOrRescue(join(data, "0.png", basename(other)), (path) => {
    if (dirname(path) === process.cwd()) throw refused;
    bytes(path);
  });
  expect(again.path).toBe(other.replace(/\.json$/, "-2.json"));
  for (const path of [other, again.path]) rmSync(path);
  const fails = (error: Error) => () => {
    throw error;
  };
  await expect(writeOrRescue(join(folder, "never"), fails(refused))).rejects.toThrow(InputError);
  await expect(writeOrRescue(join(folder, "never"), fails(refused))).rejects.toThrow(/never .*the disk is full/);
  await expect(writeOrRescue(join(folder, "never"), fails(new TypeError("other")))).rejects.toThrow(TypeError);
});

test("seeds in a line", () => {
  expect(formatIntegers([0, 1, 2, 5, 7, 8, 3])).toBe("0-2,5,7-8,3");
  expect(formatIntegers([])).toBe("");
});

test("a snapshot by time leaves room for the next training state", () => {
  const path = mkdtempSync(join(folder, "tight-"));
  const config: NetworkConfig = {
    ...{ arch: "mlp", precond: "edm", shape: { channels: 1, height: 4, width: 4 }, modelChannels: 8, numBlocks: 1 },
    ...{ channelMult: [], attnResolutions: [], dropout: 0 },
  };
  const state = initialState(config, 0, "fp32");
  const bytes = checkpointBytes(state);
  const enough = bytes.state + bytes.snapshot;
  const { lines, reporter } = listener();
  const warnings: string[] = [];
  const heard = { ...reporter, warn: (line: string) => void warnings.push(line) };
  let free = enough;
  const run = new RunFolder(path, {}, heard, undefined, () => free);
  const writer = run.writer((place) => runWriter(place, { network: config, options: {}, about: {} }));
  const facts = { loss: 1, lowestLoss: 1 };
  expect(writer.snapshot(state, { ...facts, temporary: true })).toBeDefined();
  free -= 1;
  for (let i = 0; i < 2; i++) expect(writer.snapshot(state, { ...facts, temporary: true })).toBeUndefined();
  expect(warnings).toEqual([expect.stringMatching(/MiB left, which are kept for the next training state/)]);
  // What is asked for by ticks, or at the end, is tried in any case, and so is the state.
  expect(writer.snapshot(state, { ...facts, temporary: false })).toBeDefined();
  const written = writer.state(state, { ...facts, temporary: true }) as string;
  // Names and configuration come on top.
  expect(statSync(written).size - bytes.state).toBeLessThan(10_000);
  free = enough;
  expect(writer.snapshot(state, { ...facts, temporary: true })).toBeDefined();
  free = 0;
  expect(writer.snapshot(state, { ...facts, temporary: true })).toBeUndefined();
  expect(warnings).toHaveLength(2);
  expect(lines).toEqual([]);
  disposeState(state);
});
