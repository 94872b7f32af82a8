/** What of the benchmarks can be tested without measuring. That the peers compute the same is checked in every run. */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { buildDenoiser, UsageError } from "stf";
import { describe, expect, test } from "vitest";
import { parseFlags } from "../bench/flags.js";
import { inTurns, median, ratioOf } from "../bench/measure.js";
import { type NetworkName, networks } from "../bench/networks.js";
import { placeOf } from "../bench/place.js";
import { lines } from "../bench/report.js";
import { benchmarks, chosen } from "../bench/rows/index.js";
import { forwardFlops, PASSES_PER_STEP } from "../packages/stf/src/networks/flops.js";

describe("flags", () => {
  test("say what to measure", () => {
    const defaults = {
      full: false,
      list: false,
      only: undefined,
      json: undefined,
      profile: undefined,
      precision: "fp32",
      device: "cpu",
    };
    expect(parseFlags([])).toEqual(defaults);
    expect(parseFlags(["--full", "--only=adm", "--json=x.json"])).toEqual({
      ...defaults,
      full: true,
      only: "adm",
      json: "x.json",
    });
    expect(parseFlags(["--profile=ddpmpp", "--precision=bf16"])).toEqual({
      ...defaults,
      profile: "ddpmpp",
      precision: "bf16",
    });
  });

  test.each<[string[], RegExp]>([
    [["--quick"], /--quick.*--full/],
    [["small"], /small.*--only/],
    [["--only"], /--only.*argument/],
    [["--full=yes"], /--full/],
    [["--profile=resnet"], /--profile.*small, ddpmpp, ncsnpp, adm.*resnet/],
    [["--profile=small", "--precision=fp8"], /--precision.*fp32, tf32, bf16.*fp16/],
    [["--precision=bf16"], /--profile/],
    [["--device=gpu"], /--device.*cpu, cuda.*gpu/],
  ])("%j is a mistake", (args, says) => {
    expect(() => parseFlags(args)).toThrow(UsageError);
    expect(() => parseFlags(args)).toThrow(says);
    expect(() => parseFlags(args)).not.toThrow(/\n/);
  });

  test("a mistake is one line and exit code 2", () => {
    const main = fileURLToPath(new URL("../bench/dist/main.js", import.meta.url));
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, "--only=nonsense"], { encoding: "utf8" });
    expect(stderr).toMatch(/^bench: [^\n]*"nonsense"[^\n]*\n$/);
    expect(stdout).toBe("");
    expect(status).toBe(2);
  });
});

describe("rows", () => {
  const all = benchmarks(placeOf("cpu"));

  test("on a GPU are those of networks and targets, in three precisions", () => {
    const names = benchmarks(placeOf("cuda")).map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const precision of ["fp32", "tf32", "bf16"]) expect(names).toContain(`train step, ddpmpp, DSM, ${precision}`);
    expect(names.filter((name) => /operator call|start-up|decod/.test(name))).toEqual([]);
  });

  test("have names of their own", () => {
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  });

  test("are chosen by name, or by the length of the run", () => {
    expect(chosen(all, { full: true, only: undefined })).toEqual(all);
    const short = chosen(all, { full: false, only: undefined });
    expect(short.length).toBeLessThan(all.length / 2);
    expect(new Set(short.map(({ section }) => section))).toEqual(new Set(all.map(({ section }) => section)));
    const ofAdm = chosen(all, { full: false, only: "adm" });
    expect(ofAdm.length).toBeGreaterThan(3);
    expect(ofAdm.every(({ name }) => name.includes("adm"))).toBe(true);
    expect(() => chosen(all, { full: true, only: "nonsense" })).toThrow(UsageError);
  });

  test("are lines of a table", () => {
    const side = (median: number) => ({ median, rounds: [median] });
    const whole = { unit: "ms", ours: side(2), against: { what: "them", ratio: 4, ...side(8) } };
    const fraction = { ...whole, part: "its FLOPs", isFraction: true, against: { ...whole.against, ratio: 0.5 } };
    const shown = lines("a row", [whole, fraction, { unit: "ms", ours: side(123.4) }]);
    expect(shown.map((line) => line.trim().split(/\s{2,}/))).toEqual([
      ["a row", "2.00 ms", "8.00", "4.00x", "them"],
      ["its FLOPs", "2.00 ms", "8.00", "50 %", "them"],
      ["123 ms"],
    ]);
  });
});

describe("measuring", () => {
  test("takes turns, and does not count the first", async () => {
    const order: string[] = [];
    const side = (name: string, values: number[]) => () => {
      order.push(name);
      return values.shift() as number;
    };
    const budget = { seconds: 0, least: 2, most: 9 };
    const values = await inTurns([side("a", [9, 1, 2]), side("b", [9, 3, 8])], budget);
    expect(values).toEqual([
      [1, 2],
      [3, 8],
    ]);
    expect(order.join("")).toBe("ababab");
    expect(ratioOf([1, 2], [3, 8])).toBe(3.5);
  });

  test("ends after the most rounds that are allowed", async () => {
    const [values] = await inTurns([() => 1], { seconds: 1000, least: 1, most: 4, uncounted: 0 });
    expect(values).toEqual([1, 1, 1, 1]);
  });

  test("the median of an even number is the mean of two", () => {
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(median([5, 1, 3])).toBe(3);
  });
});

describe("floating-point operations", () => {
  const gigaflopsPerStep = (name: NetworkName): number => {
    const { config } = networks[name];
    const denoiser = buildDenoiser(config);
    const shapes = [...denoiser.stateDict()].map(([key, { shape }]) => [key, shape] as const);
    denoiser.dispose();
    return (PASSES_PER_STEP * forwardFlops(shapes, config.shape.height)) / 1e9;
  };

  test("of single layers, counted by hand", () => {
    expect(forwardFlops([["model.enc.16x16_block0.conv0.weight", [8, 4, 3, 3]]], 32)).toBe(2 * 8 * 4 * 9 * 256);
    expect(forwardFlops([["model.enc.16x16_aux_residual.weight", [8, 3, 3, 3]]], 32)).toBe(2 * 8 * 3 * 9 * 1024);
    expect(forwardFlops([["model.out_conv.weight", [3, 8, 3, 3]]], 32)).toBe(2 * 3 * 8 * 9 * 1024);
    expect(forwardFlops([["model.map_layer0.weight", [16, 8]]], 32)).toBe(2 * 16 * 8);
    const attention = forwardFlops([["model.dec.8x8_in0.qkv.weight", [24, 8, 1, 1]]], 32);
    expect(attention).toBe(2 * 24 * 8 * 64 + 2 * (2 * 64 * 64 * 8));
    expect(forwardFlops([["model.enc.8x8_block0.norm0.weight", [8]]], 32)).toBe(0);
    expect(forwardFlops([["model.enc.16x16_down.conv0.resample_filter", [1, 1, 2, 2]]], 32)).toBe(0);
  });

  // Measured once by counting what PyTorch multiplies.
  test("of whole networks", () => {
    expect(gigaflopsPerStep("small")).toBeCloseTo(2.5, 0);
    expect(gigaflopsPerStep("ddpmpp") / 126).toBeCloseTo(1, 1);
  });
});
