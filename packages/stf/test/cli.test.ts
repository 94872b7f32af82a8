/** The command as people run it: a process, its files, its messages and its exit codes. */

import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { loadSafetensors, readSafetensorsMetadata, type Tensor } from "@stf/torch";
import { decode, encode } from "fast-png";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Field, flagOf } from "../src/config/fields.js";
import { generateFields } from "../src/config/generate-options.js";
import { importFields } from "../src/config/import-options.js";
import { likelihoodFields } from "../src/config/likelihood-options.js";
import { trainFields } from "../src/config/train-options.js";
import type { StatisticName, StatsLine } from "../src/run/statistics.js";
import { commandIn, type Ended } from "./cli-support.js";
import { blobs, idxBytes, maxDeviation, sameBits } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "stf-cli-"));
const mainPath = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const { start, stf, expectFailure, killAll } = commandIn(folder);

beforeAll(() => {
  const bank = blobs(300, 8);
  const file = idxBytes([300, 8, 8], bank.pixels.toTypedArray() as Uint8Array);
  bank.dispose();
  writeFileSync(join(folder, "spots-images-idx3-ubyte"), file);
  writeFileSync(join(folder, "classes-images-idx3-ubyte"), file);
  writeFileSync(
    join(folder, "classes-labels-idx1-ubyte"),
    idxBytes(
      [300],
      Array.from({ length: 300 }, (_, i) => i % 3),
    ),
  );
  writeFileSync(join(folder, "cut-images-idx3-ubyte"), file.subarray(0, 1000));
  writeFileSync(join(folder, "a-file"), "in the way");
  mkdirSync(join(folder, "empty"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(killAll);

const data = "--data=spots-images-idx3-ubyte";
// What "auto" chooses would depend on the duration, which a resumed run changes.
const tiny = [data, "--preset=published", "--cbase=8", "--cres=1,2", "--num-blocks=1", "--attn=4", "--dropout=0.1"];
const run = [...tiny, "--batch=32", "--stf", "--rbatch=64", "--lr-rampup=0", "--seed=1"];

describe("what needs no libtorch does not wait for it", () => {
  /** Runs with a hook that says at the end which addons, and which libraries of libtorch, were loaded. */
  async function loadedBy(args: readonly string[]): Promise<{ ended: Ended; libraries: string[] }> {
    const hook = join(folder, "hook.cjs");
    const found = join(folder, "libraries.json");
    writeFileSync(
      hook,
      `process.on("exit", () => require("node:fs").writeFileSync(${JSON.stringify(found)},
        JSON.stringify(process.report.getReport().sharedObjects.filter((name) => /torch|\\\\.node$/.test(name)))));`,
    );
    const ended = await stf(args, { NODE_OPTIONS: `--require=${hook}` });
    const libraries = JSON.parse(readFileSync(found, "utf8")) as string[];
    rmSync(hook);
    rmSync(found);
    return { ended, libraries };
  }

  async function withoutLibtorch(args: readonly string[]): Promise<Ended> {
    const { ended, libraries } = await loadedBy(args);
    expect(libraries).toEqual([]);
    return ended;
  }

  test("the list of commands", async () => {
    const { code, stdout, stderr } = await withoutLibtorch(["--help"]);
    expect(code).toBe(0);
    expect(stderr).toBe("");
    for (const command of ["train", "generate", "likelihood", "features", "launch", "import", "doctor"])
      expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, "m"));
  });

  test.each([
    { command: "train", fields: trainFields as Record<string, Field<unknown>> },
    { command: "generate", fields: generateFields as Record<string, Field<unknown>> },
    { command: "likelihood", fields: likelihoodFields as Record<string, Field<unknown>> },
    { command: "import", fields: importFields as Record<string, Field<unknown>> },
  ])("help of $command, with every option and its line", async ({ command, fields }) => {
    const { code, stdout } = await withoutLibtorch([command, "--help"]);
    expect(code).toBe(0);
    const text = stdout.replace(/\s+/g, " ");
    for (const [key, field] of Object.entries(fields)) {
      expect(text).toContain(flagOf(key));
      expect(text).toContain(field.help);
    }
    const headings = text.match(/(?<= )[A-Z][a-z ,]+: (?=--)/g) ?? [];
    expect(new Set(headings).size).toBe(headings.length);
    if (command === "train") for (const flag of ["--resume", "--preset", "--dry-run"]) expect(text).toContain(flag);
    expect((await withoutLibtorch(["help", command])).stdout).toBe(stdout);
  });

  test("the version", async () => {
    const { code, stdout } = await withoutLibtorch(["--version"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test.each<[string[]]>([
    [["trian"]],
    [["train"]],
    [["train", "--nonsense"]],
    [["train", "--resume=runs", "--preset=fashion-mnist"]],
    [["generate", "--network=x"]],
    [["features", "train", "--data=x"]],
    [["import", "a-file"]],
  ])("the mistake in %j", async (args) => {
    const { code, stderr } = await withoutLibtorch(args);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^stf: [^\n]+\n$/);
  });

  test("a command that computes loads it", async () => {
    expect((await loadedBy(["doctor"])).libraries.join()).toContain("torch.node");
  });
});

test.skipIf(process.platform === "win32")("few file descriptors are enough, and too few are called so", async () => {
  const withLimit = (limit: number): Promise<{ code: number; output: string }> =>
    new Promise((resolve) => {
      const command = `ulimit -n ${limit} && exec "$0" "$1" train ${data} --dry-run --cbase=16 --batch=8`;
      const options = { cwd: folder, env: { ...process.env, OMP_NUM_THREADS: "1" } };
      execFile("sh", ["-c", command, process.execPath, mainPath], options, (error, stdout, stderr) =>
        resolve({ code: Number(error?.code ?? 0), output: stdout + stderr }),
      );
    });
  expect(await withLimit(64)).toMatchObject({ code: 0, output: expect.stringContaining("300 images") });
  const { code, output } = await withLimit(28);
  expect([code, output]).toEqual([1, expect.stringMatching(/^stf: the limit of open files .* ulimit -n 1024.*\n$/)]);
});

// What each option accepts is tested in config.test.ts, without a process.
describe("wrong usage is exit code 2 and one line", () => {
  test.each<[string[], RegExp]>([
    [["train", "--nonsense"], /--nonsense/],
    [["train", "--bath=3"], /--bath=3.*--batch/],
    [["trian"], /trian/],
    [["train", data, "surplus"], /argument/],
    [["train", data, "--batch"], /--batch/],
    [["train", "--preset=imagenet"], /--preset.*fashion-mnist.*imagenet/],
    [["train"], /--data.*--preset/],
    [["train", data, "--rbatch=0"], /--rbatch.*at least 1.*"all".*"0"/],
    [["train", ...tiny, "--batch=301"], /--batch.*300.*301/],
    [["train", ...tiny, "--batch=32", "--stf", "--rbatch=301"], /--rbatch.*300.*301/],
    [["train", ...tiny, "--batch=32", "--cres=1,1,1,1,1"], /divisible by 16.*8/],
    [
      ["train", "--data=nowhere", "--preset=published", "--cbase=48", "--cres=1,2"],
      /--cbase must .*--cres=1,2.*144.*40 and 64/,
    ],
    [["train", ...tiny, "--cond"], /--cond.*labels.*dataset\.json/],
    [["train", ...tiny, "--stf-ref=some"], /--stf-ref.*class, any.*some/],
    [["train", ...tiny, "--device=gpu"], /--device.*cpu, cuda.*gpu/],
    [["train", ...tiny, "--device=cuda:64"], /--device=cuda:64.*--device=cpu/],
    [["train", data, "--P-std=0"], /^stf: --P-std must be a number above 0, found "0"$/m],
    [["train", data, "--P_mean=nan"], /^stf: --P-mean must be a number, found "nan"$/m],
    [
      ["train", data, "--p-std=1e300"],
      /between 1e-15 and 1e15, .* --P-mean .* --P-std, .*--sigma-min and --sigma-max$/m,
    ],
    [["train", data, "--precond=vp", "--sigma_data=1"], /--sigma-data needs --precond=edm, found --precond=vp/],
    [["train", data, "--sigma-min=4", "--sigma_max=4"], /--sigma-min must be .* below --sigma-max, found 4 and 4/],
    [["train", "--resume=runs", "--preset=fashion-mnist"], /--resume.*--preset/],
    [["train", "--resume=runs", "--transfer=a-file"], /--resume.*--transfer/],
    [["import"], /FILE/],
    [["import", "a-file"], /--dest/],
    [["import", "a-file", "--dest=./a-file"], /--dest must differ from the file/],
    [["import", "a-file", "--dest=empty"], /--dest.*empty is a folder/],
    [["import", "a-file", "--dest=x", "--which=best"], /--which.*auto, ema, net.*best/],
    [["generate", "--network=x"], /--outdir.*--grid/],
    [["generate", "--network=x", "--grid=x.png", "--sigma_min=90"], /--sigma_min.*--sigma_max/],
  ])("%j", async (args, says) => {
    await expectFailure(2, args, says);
  });
});

describe("input that cannot be used is exit code 1 and one line", () => {
  test.each<[string[], RegExp]>([
    [["train", "--data=nowhere-images-idx3-ubyte"], /nowhere-images-idx3-ubyte/],
    [["train", "--data=cut-images-idx3-ubyte"], /cut-images-idx3-ubyte.*truncated/],
    [["train", ...run, "--outdir=a-file"], /a-file.*a file of that name exists.*--outdir/],
    [["train", "--resume=nowhere"], /nowhere/],
    [["train", "--resume=empty"], /empty.*no training state/],
    [["generate", "--network=a-file", "--grid=x.png"], /a-file/],
    [["import", "nowhere.pkl", "--dest=x.safetensors"], /no file at nowhere\.pkl/],
    [["import", "empty", "--dest=x.safetensors"], /empty is not a file/],
    [["import", "a-file", "--dest=x.safetensors"], /a-file.*not a safetensors file, a zip archive or a pickle/],
    [["train", ...run, "--transfer=a-file"], /a-file.*not a safetensors file/],
  ])("%j", async (args, says) => {
    await expectFailure(1, args, says);
  });

  test("--debug shows where", async () => {
    const { code, stderr } = await stf(["--debug", "train", "--data=nowhere-images-idx3-ubyte"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/\n\s+at /);
  });
});

test("--dry-run shows what a preset sets before there are images", async () => {
  const { code, stdout, stderr } = await stf(["train", "--preset=cifar10-ddpmpp-published", "--lr=0.002", "--dry-run"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  for (const option of [
    "--rbatch=1024",
    "--stf-sigma=0,inf",
    "--lr=0.002",
    "--cres=2,2,2",
    "--P-mean=-1.2",
    "--seed=-",
  ]) {
    expect(stdout).toContain(option);
  }
});

test("--dry-run says what it would do and writes nothing", async () => {
  const before = readdirSync(folder).sort();
  const { code, stdout, stderr } = await stf(["train", ...run, "--dry-run", "--outdir=dry"]);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  expect(stdout).toMatch(/300 images of 8x8x1/);
  expect(stdout).toMatch(/64 references/);
  expect(stdout).toMatch(/^time +about [\d.e+]+ images\/s here: .* for 200 million images$/m);
  expect(stdout).toMatch(/^memory +about \d+ MiB: weights and optimizer \d+ MiB, images 0 MiB, activations \d+ MiB/m);
  expect(stdout).toMatch(/--sigma-data=0\.5 --sigma-min=0 --sigma-max=-$/m);
  const same = /^the same +(.* train --preset=published .*)$/m.exec(stdout)?.[1] as string;
  const text = execFileSync("sh", ["-c", `${same} --dry-run --json`], { cwd: folder, encoding: "utf8" });
  const { options, estimate } = JSON.parse(text) as Record<"options" | "estimate", Record<string, unknown>>;
  expect(estimate).toMatchObject({ images: 200_000_000, memory: { images: 300 * 64 } });
  expect(options).toMatchObject({ batch: 32, rbatch: 64, stf: true, cres: [1, 2], seed: 1, lr: 1e-3 });
  expect(Object.keys(options).sort()).toEqual(Object.keys(trainFields).sort());
  expect(readdirSync(folder).sort()).toEqual(before);
});

describe("a run of which little is said", () => {
  test("gets options that suit it, says which, keeps them, and suggests commands that work", async () => {
    const outdir = "it's my runs";
    const { code, stdout, stderr } = await stf(["train", data, "--duration=0.0002", `--outdir=${outdir}`, "--seed=1"]);
    expect([code, stderr]).toEqual([0, ""]);
    const [first = "", ...lines] = stdout.split("\n");
    expect(first).toMatch(/^chosen\s+for 300 images of 8x8x1;.*--preset=published/);
    expect(lines.slice(0, 6).join("\n")).toMatch(
      /16 channels.*attention at 8[\s\S]*batch 8,[\s\S]*300 references.*--stf=0/,
    );
    const run = join(folder, outdir, readdirSync(join(folder, outdir))[0]!);
    const options = (): unknown => JSON.parse(readFileSync(join(run, "training_options.json"), "utf8"));
    const chosen = { stf: true, rbatch: 300, cbase: 16, cres: [1], numBlocks: 1, attn: [8], batch: 8, lr: 1e-3 };
    expect(options()).toMatchObject(chosen);

    // Each as it stands there, pasted into a shell.
    const printed = (what: string): string => new RegExp(`^  ${what} +(.*)$`, "m").exec(stdout)?.[1] ?? "";
    const paste = (command: string): string => execFileSync("sh", ["-c", command], { cwd: folder, encoding: "utf8" });
    paste(`${printed("more images")} --steps=2`);
    expect(existsSync(join(folder, "more.png"))).toBe(true);
    expect(paste(printed("train further"))).toContain("finished after 400 images");
    expect(options()).toMatchObject({ ...chosen, duration: 0.0004 });
  });

  test("trains plain targets where that is said, and says how to train others", async () => {
    const dry = ["train", ...tiny, "--duration=0.0001", "--dry-run"];
    const { code, stdout } = await stf(dry);
    expect(code).toBe(0);
    expect(stdout).toMatch(/batches of 300, the whole data set[\s\S]*plain denoising.*--stf=1/);
    await expectFailure(2, [...dry, "--rbatch=64", "--label-dropout=0.1"], /--rbatch needs --stf=1.*--label-dropout/);
    await expectFailure(2, [...dry, "--batch=301", "--stf", "--rbatch=302"], /--batch.*301; --rbatch.*302/);
    expect((await stf([...dry, "--attn=16"])).stdout).toMatch(/^note.*no attention at 16.*8, 4; --attn=8/m);
  });

  test("is measured where time decides", async () => {
    const { code, stdout } = await stf(["train", data, "--time-limit=0.02", "--name=timed", "--outdir=runs-timed"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^chosen +for 300 images of 8x8x1 in 1s;[\s\S]*\d images\/s here\n/);
    // What replaces the network at high noise draws more than noise.
    expect(stdout).toMatch(/hand-over +above noise level [\s\S]*train further +.*--time-limit=[1-9]\d*\n/);
    expect(stdout).not.toContain("mostly noise");
  });
});

test("training that diverges says so in one line", async () => {
  const { code, stderr } = await stf([
    "train",
    ...run,
    "--lr=1e30",
    "--duration=0.001",
    "--name=diverging",
    "--outdir=out",
  ]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^stf: training diverged after \d+ images[^\n]*--lr[^\n]*\n$/);
  rmSync(join(folder, "out"), { recursive: true });
});

/** The statistics that a line of stats.jsonl holds. */
const STATISTICS: readonly StatisticName[] = [
  "Loss/loss",
  "Target/one_hot",
  "Optimizer/lr",
  "Optimizer/grad_norm",
  "Optimizer/skipped",
  "Progress/tick",
  "Progress/kimg",
  "Timing/total_sec",
  "Timing/sec_per_tick",
  "Timing/sec_per_kimg",
  "Timing/maintenance_sec",
  "Timing/images_per_sec",
  "Resources/cpu_mem_gb",
  "Resources/peak_cpu_mem_gb",
  "Resources/tensors",
  "Resources/tensor_mem_gb",
];

function statsOf(path: string): StatsLine[] {
  const text = readFileSync(join(path, "stats.jsonl"), "utf8");
  expect(text.endsWith("\n")).toBe(true);
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as StatsLine);
}

const kimg = (line: StatsLine): number => line["Progress/kimg"]?.mean ?? Number.NaN;

describe.sequential("a run, from its first image to its pictures", () => {
  let first = "";

  test("train", async () => {
    const { code, stdout, stderr } = await stf([
      "train",
      ...run,
      "--duration=0.001",
      "--tick=0.5",
      "--snap=1",
      "--dump=1",
      "--outdir=runs",
      "--desc=hello",
    ]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(readdirSync(join(folder, "runs"))).toHaveLength(1);
    first = join("runs", readdirSync(join(folder, "runs"))[0]!);
    expect(first).toMatch(/00000-spots.*ddpmpp-edm-stf64-batch32-fp32-hello$/);
    expect(stdout).toContain(first);
    // Pictures on the way depend on the time that there is for them.
    const files = readdirSync(join(folder, first)).filter((name) => !/^samples-000000512/.test(name));
    expect(files.sort()).toEqual([
      ".lock",
      "log.txt",
      "network-snapshot-000000512.safetensors",
      "network-snapshot-000001024.safetensors",
      "samples-000001024.png",
      "stats.jsonl",
      "training-state-000000512.safetensors",
      "training-state-000001024.safetensors",
      "training_options.json",
    ]);
    const options = JSON.parse(readFileSync(join(folder, first, "training_options.json"), "utf8"));
    expect(options).toMatchObject({ batch: 32, rbatch: 64, seed: 1, duration: 0.001, desc: "hello" });
    const log = readFileSync(join(folder, first, "log.txt"), "utf8");
    expect(log.trimEnd().split("\n").length).toBeGreaterThan(8);
    expect(stdout.startsWith(log)).toBe(true);
    expect(stdout.slice(log.length)).toMatch(/^next steps:\n/);
    const picture = decode(readFileSync(join(folder, first, "samples-000001024.png")));
    expect([picture.width, picture.height, picture.channels]).toEqual([64, 64, 1]);
  });

  test("statistics, line by line", () => {
    const lines = statsOf(join(folder, first));
    expect(lines.map(kimg)).toEqual([0.512, 1.024]);
    for (const line of lines) {
      // A tick has errors if there is time to measure them.
      const measured = Object.keys(line).filter((name) => name.startsWith("Loss/excess"));
      expect([0, 6]).toContain(measured.length);
      expect(Object.keys(line).sort()).toEqual([...STATISTICS, ...measured, "timestamp"].sort());
      expect(Math.abs(line.timestamp - Date.now() / 1000)).toBeLessThan(600);
      for (const name of STATISTICS) {
        const { num, mean, std } = line[name]!;
        expect(num, name).toBeGreaterThanOrEqual(1);
        expect(Number.isFinite(mean), name).toBe(true);
        expect(std, name).toBeGreaterThanOrEqual(0);
      }
      expect(line["Loss/loss"]).toMatchObject({ num: 512 * 64 });
    }
    const [one, two] = lines.map((line) => line["Loss/loss"]?.mean);
    expect(two!).toBeLessThan(one!);
  });

  test("resume gives the weights of a run without a break, to the last bit", async () => {
    const leftover = join(folder, first, ".training-state-000001504.safetensors.123.partial");
    writeFileSync(leftover, "of a killed process");
    const resumed = await stf(["train", `--resume=${first}`, "--duration=0.0015"]);
    expect(resumed.stderr).toBe("");
    expect(resumed.code).toBe(0);
    expect(resumed.stdout).toMatch(/resumed\s+at 1024 images/);
    expect(existsSync(leftover)).toBe(false);
    expect(readdirSync(join(folder, "runs"))).toHaveLength(1);
    expect(statsOf(join(folder, first)).map(kimg)).toEqual([0.512, 1.024, 1.504]);

    const straight = await stf([
      "train",
      ...run,
      "--duration=0.0015",
      "--tick=0.5",
      "--outdir=runs",
      "--name=straight",
    ]);
    expect(straight.code).toBe(0);
    const read = (path: string): Map<string, Tensor> =>
      loadSafetensors(join(folder, path, "training-state-000001504.safetensors")).tensors;
    const wanted = read("runs/straight");
    const found = read(first);
    expect([...found.keys()]).toEqual([...wanted.keys()]);
    for (const [name, value] of wanted) expect(sameBits(found.get(name)!, value), name).toBe(true);
  });

  test("resume refuses what would make it another run", async () => {
    await expectFailure(2, ["train", `--resume=${first}`, "--cbase=16"], /--cbase.*--resume.*--duration/);
    const snapshot = join(first, "network-snapshot-000001504.safetensors");
    await expectFailure(1, ["train", `--resume=${snapshot}`], /is a network snapshot: name one of the training states/);
    const state = join(first, "training-state-000001504.safetensors");
    await expectFailure(
      1,
      ["generate", `--network=${state}`, "--grid=x.png"],
      /is a training state: name one of the network snapshots/,
    );
  });

  test("generate, one file per seed and all side by side", async () => {
    const network = `--network=${join(first, "network-snapshot-000001024.safetensors")}`;
    const { code, stderr } = await stf([
      "generate",
      network,
      "--outdir=pictures",
      "--grid=grids/all.png",
      "--seeds=0-2,7,9",
      "--batch=2",
      "--steps=4",
    ]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const names = ["000000.png", "000001.png", "000002.png", "000007.png", "000009.png"];
    expect(readdirSync(join(folder, "pictures")).sort()).toEqual([...names, "generate_options.json"]);
    const grid = decode(readFileSync(join(folder, "grids", "all.png")));
    expect([grid.width, grid.height]).toEqual([24, 16]);
    names.forEach((name, i) => {
      const image = decode(readFileSync(join(folder, "pictures", name)));
      expect([image.width, image.height, image.channels, image.depth]).toEqual([8, 8, 1, 8]);
      const tile = Array.from({ length: 64 }, (_, p) => {
        const [row, column] = [8 * Math.floor(i / 3) + Math.floor(p / 8), 8 * (i % 3) + (p % 8)];
        return grid.data[24 * row + column]!;
      });
      expect(tile).toEqual(Array.from(image.data));
    });

    // Seed 7 alone is the same picture; another batch size may round a value to the next byte.
    const alone = await stf(["generate", network, "--outdir=alone", "--seeds=7", "--steps=4"]);
    expect(alone.code).toBe(0);
    await expectFailure(2, ["generate", network, "--outdir=alone", "--class=0"], /--class.*--cond/);
    const [one, other] = ["alone", "pictures"].map(
      (place) => decode(readFileSync(join(folder, place, "000007.png"))).data,
    );
    expect(maxDeviation(one as Uint8Array, other as Uint8Array)).toBeLessThanOrEqual(1);
  });
});

test("a class-conditional run draws a row for each class, and generate takes one", async () => {
  const trained = await stf([
    "train",
    ...tiny.slice(1),
    "--data=classes-images-idx3-ubyte",
    "--cond",
    "--batch=32",
    "--stf",
    "--rbatch=150",
    "--seed=1",
    "--duration=0.0001",
    "--name=conditional",
  ]);
  expect(trained.stderr).toBe("");
  expect(trained.code).toBe(0);
  expect(trained.stdout).toMatch(/150 references of its class/);
  expect(trained.stdout).toMatch(/3 classes/);
  expect(trained.stdout).toMatch(/24 images.*a row per class/);
  const name = readdirSync(join(folder, "runs", "conditional")).find((file) => file.startsWith("network-snapshot"))!;
  const network = `--network=${join("runs", "conditional", name)}`;
  const drawn = await stf(["generate", network, "--grid=two.png", "--class=2", "--seeds=0,1", "--steps=2"]);
  expect([drawn.code, drawn.stderr]).toEqual([0, ""]);
  await expectFailure(2, ["generate", network, "--grid=two.png", "--class=3"], /--class.*from 0 to 2.*3/);
});

test("a published snapshot is imported, drawn from, and trained on", async () => {
  const packed = fileURLToPath(new URL("./golden/stf-state.pkl.gz", import.meta.url));
  // With another sigma_data, 0.05, in place of the dropout: words have their lengths before them.
  const content = gunzipSync(readFileSync(packed)).toString("latin1").replaceAll("\x07dropout", "\x0asigma_data");
  writeFileSync(join(folder, "training-state.pkl"), content, "latin1");
  mkdirSync(join(folder, "pixels"));
  for (let i = 0; i < 32; i++) {
    const data = Uint8Array.from({ length: 192 }, (_, j) => (37 * i + 11 * j) % 256);
    writeFileSync(join(folder, "pixels", `${i}.png`), encode({ width: 8, height: 8, channels: 3, depth: 8, data }));
  }

  const imported = await stf(["import", "training-state.pkl", "--dest=imported/network.safetensors"]);
  expect([imported.code, imported.stderr]).toEqual([0, ""]);
  expect(imported.stdout).toMatch(/pickle, its "ema"/);
  expect(imported.stdout).toMatch(/ncsnpp, preconditioning edm.*8x8x3/);
  expect(imported.stdout).toMatch(/skipped.*optimizer_state.*step.*net \(EDMPrecond\)/);
  const drawn = await stf(["generate", "--network=imported/network.safetensors", "--grid=imported.png", "--steps=2"]);
  expect([drawn.code, drawn.stderr]).toEqual([0, ""]);

  const size = ["--arch=ncsnpp", "--cbase=4", "--cres=1,1", "--num-blocks=1", "--attn=4"];
  // One step, whose learning rate is 0 at the foot of the rise: what is saved is what was transferred.
  const options = [
    "--data=pixels",
    ...size,
    "--augment=0",
    "--batch=32",
    "--lr-rampup=1",
    "--duration=0.00003",
    "--seed=1",
  ];
  const trained = await stf(["train", ...options, "--transfer=training-state.pkl", "--outdir=runs", "--name=tuned"]);
  expect([trained.code, trained.stderr]).toEqual([0, ""]);
  expect(trained.stdout).toMatch(/transfer\s+\d+ tensors from training-state\.pkl/);
  const weights = (path: string): Map<string, Tensor> => loadSafetensors(join(folder, path)).tensors;
  const before = weights("imported/network.safetensors");
  const after = weights("runs/tuned/network-snapshot-000000032.safetensors");
  expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
  for (const [name, value] of after) expect(sameBits(value, before.get(name)!), name).toBe(true);

  // It is the preconditioning that the weights were made for, and stays so.
  const resumed = await stf(["train", "--resume=runs/tuned", "--duration=0.00006"]);
  expect([resumed.code, resumed.stderr]).toEqual([0, ""]);
  for (const name of ["network-snapshot-000000064", "training-state-000000064"]) {
    const { network } = readSafetensorsMetadata(join(folder, "runs", "tuned", `${name}.safetensors`));
    expect(JSON.parse(network!)).toMatchObject({ precond: "edm", constants: { sigmaData: 0.05 } });
  }

  const larger = ["train", ...options, "--cbase=8", "--transfer=training-state.pkl"];
  await expectFailure(
    2,
    larger,
    /--cbase must be that of the network in --transfer=training-state\.pkl, 4, found 8; give --cbase=4/,
  );
});

describe("interrupts", () => {
  test("the first one saves and ends with 130, and the run can go on", async () => {
    const { child, ended, saying } = start([
      "train",
      ...run,
      "--duration=100",
      "--tick=0.1",
      "--outdir=runs",
      "--name=stopped",
    ]);
    await saying(/0\.\d+ kimg/);
    child.kill("SIGINT");
    const { code, stdout, stderr } = await ended;
    expect(stderr).toBe("");
    expect(code).toBe(130);
    const images = Number(/stopped after (\d+) images/.exec(stdout)?.[1]);
    expect(images % 32).toBe(0);
    expect(stdout).toContain("--resume=runs/stopped");
    const path = join(folder, "runs", "stopped");
    const state = readdirSync(path).find((name) => name.startsWith("training-state"))!;
    expect(JSON.parse(readSafetensorsMetadata(join(path, state))["clock"]!)).toMatchObject({ images });
    expect(existsSync(join(path, state.replace("training-state", "network-snapshot")))).toBe(true);

    const resumed = await stf(["train", "--resume=runs/stopped", `--duration=${(images + 64) / 1e6}`]);
    expect(resumed.code).toBe(0);
    expect(resumed.stdout).toContain(`finished after ${images + 64} images`);
    expect(kimg(statsOf(path).at(-1)!)).toBeCloseTo((images + 64) / 1000, 9);
  });

  test("the second one ends at once, also in the middle of a step", async () => {
    // One step of this takes many seconds.
    const slow = [
      data,
      "--preset=published",
      "--cbase=128",
      "--cres=2,2",
      "--num-blocks=4",
      "--attn=8",
      "--batch=256",
      "--seed=1",
    ];
    const { child, ended, saying } = start(["train", ...slow, "--outdir=runs", "--name=slow"]);
    await saying(/run folder/);
    await new Promise((resolve) => setTimeout(resolve, 300));
    child.kill("SIGINT");
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(child.exitCode).toBeNull();
    const begin = performance.now();
    child.kill("SIGINT");
    const { code, stderr } = await ended;
    expect(performance.now() - begin).toBeLessThan(1000);
    expect(code).toBe(130);
    expect(stderr.trim().split("\n")).toHaveLength(1);
  });
});
