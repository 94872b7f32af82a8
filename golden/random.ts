/** PyTorch's random numbers. */

import { Generator, rand, randint, randn, randperm, scope, type Tensor } from "@stf/torch";
import { SeededNoise } from "stf";
import type { GoldenFile } from "./golden-file.js";

const NORMAL_TOLERANCE = 1e-6;

/** An integer as spelled in names: "10", "minus5", "2pow40". */
function boundOf(text: string): number {
  const [, sign, power, digits] = /^(minus)?(2pow)?(\d+)$/.exec(text) ?? [];
  return (sign ? -1 : 1) * (power ? 2 ** Number(digits) : Number(digits));
}

/** One draw, by its name in the file: "randn_float64_5", "rand_64", "randint_minus5_to_7_20". */
function drawNamed(name: string, generator: Generator): number[] {
  const count = Number(/\d+$/.exec(name)?.[0]);
  const shape = [count];
  const repeated = /^randn_(\d+)_calls_of_(\d+)$/.exec(name);
  const draw = (make: () => Tensor): number[] => scope(() => Array.from(make().toFloat64Array()));
  if (repeated) {
    const [calls, length] = [Number(repeated[1]), Number(repeated[2])];
    return Array.from({ length: calls }, () => draw(() => randn([length], { generator }))).flat();
  }
  if (/^(global_)?randn_\d+$/.test(name)) return draw(() => randn(shape, { generator }));
  if (/^randn_float64_\d+$/.test(name)) return draw(() => randn(shape, { generator, dtype: "float64" }));
  if (/^rand_\d+$/.test(name)) return draw(() => rand(shape, { generator }));
  if (/^rand_float64_\d+$/.test(name)) return draw(() => rand(shape, { generator, dtype: "float64" }));
  if (/^randperm_\d+$/.test(name)) return draw(() => randperm(count, { generator }));
  const [, low = "0", high] = /^randint_(?:(\w+)_to_)?(\w+)_\d+$/.exec(name) ?? [];
  if (high === undefined) throw new Error(`the draw "${name}" is unknown`);
  return draw(() => randint(boundOf(low), boundOf(high), shape, { generator }));
}

/** Sorted by the number in their names: "mix_10" comes after "mix_9". */
const inNumericOrder = (names: readonly string[]): string[] =>
  [...names].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));

export function checkRandomNumbers(file: GoldenFile): void {
  const bySeed = new Map<string, string[]>();
  for (const name of file.names.filter((name) => /^s\d+\./.test(name))) {
    const [seed, rest] = name.split(".", 2) as [string, string];
    bySeed.set(seed, [...(bySeed.get(seed) ?? []), rest]);
  }
  for (const [prefix, names] of bySeed) {
    const seed = Number(prefix.slice(1));
    const compareDraw = (name: string, kind: string, generator: Generator): void => {
      file.compareAbsolute(
        `${prefix}.${name}`,
        drawNamed(kind, generator),
        file.tensor(`${prefix}.${name}`),
        NORMAL_TOLERANCE,
      );
    };
    for (const name of names.filter((name) => !name.startsWith("mix_"))) {
      using generator = new Generator(seed);
      compareDraw(name, name, generator);
    }
    using generator = new Generator(seed);
    for (const name of inNumericOrder(names.filter((name) => name.startsWith("mix_")))) {
      compareDraw(name, name.replace(/^mix_\d+_/, ""), generator);
    }
  }
  if (file.names.some((name) => name.startsWith("stacked."))) checkStackedNoise(file);
}

/** Used if the file does not say how many classes there were. */
const CLASSES = 10;

/** Noise by seed, as the published sampler draws it. */
function checkStackedNoise(file: GoldenFile): void {
  const seeds = file.metadata<number[]>("stacked_seeds");
  const classes = file.metadataOr("stacked_classes", CLASSES);
  const compare = (name: string, noise: SeededNoise, dtype: "float32" | "float64"): void => {
    const wanted = file.tensor(`stacked.${name}`);
    file.compareAbsolute(name, noise.draw(wanted.shape.slice(1), dtype), wanted, NORMAL_TOLERANCE);
  };
  const withFresh = (body: (noise: SeededNoise) => void): void => {
    const noise = new SeededNoise(seeds);
    scope(() => body(noise));
    noise.dispose();
  };
  const calls = /^stacked\.(follow_\d+_(float\d+))$/;
  const follow = inNumericOrder(file.names).flatMap((name) => {
    const [, call, dtype] = calls.exec(name) ?? [];
    return call === undefined ? [] : [{ call, dtype }];
  });
  for (const dtype of ["float32", "float64"] as const) {
    withFresh((noise) => {
      compare("latents", noise, "float32");
      for (const { call } of follow.filter((other) => other.dtype === dtype)) compare(call, noise, dtype);
    });
  }
  withFresh((noise) => {
    compare("latents", noise, "float32");
    file.compareAbsolute("classes", noise.integers(classes), file.tensor("stacked.classes_after_latents"), 0);
    compare("follow_after_classes_float64", noise, "float64");
  });
  withFresh((noise) => {
    compare("small_latents", noise, "float32");
    compare("small_follow_float64", noise, "float64");
  });
}
