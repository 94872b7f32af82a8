/** The stable target alone, for several batches, numbers of references and image sizes. */

import { randn, scope } from "@stf/torch";
import {
  drawReferences,
  type ImageShape,
  KeyedRandom,
  logNormalLevels,
  normalize,
  randomKey,
  stableFieldTarget,
  targetFrom,
} from "stf";
import { type Bench, type Benchmark, compare, milliseconds, type Row } from "../benchmark.js";
import { matrixProductOn } from "../limits.js";
import { networks, randomBank } from "../networks.js";

interface Case {
  readonly batch: number;
  readonly references: number;
  readonly shape: ImageShape;
  /** The whole bank; otherwise a pool is drawn from it. */
  readonly all?: boolean;
  /** References have the class of their sample, out of this many classes. */
  readonly classes?: number;
  readonly isShort?: boolean;
}

const rgb = networks.small.config.shape;
const grey: ImageShape = { channels: 1, height: 28, width: 28 };
const large: ImageShape = { channels: 3, height: 64, width: 64 };

const cases: readonly Case[] = [
  { batch: 64, references: 256, shape: rgb },
  { batch: 64, references: 1024, shape: rgb, isShort: true },
  { batch: 64, references: 4096, shape: rgb },
  { batch: 512, references: 1024, shape: rgb },
  { batch: 64, references: 1024, shape: grey },
  { batch: 64, references: 1024, shape: large },
  { batch: 64, references: 1024, shape: rgb, classes: 10 },
  { batch: 64, references: 50_000, shape: rgb, all: true, isShort: true },
  { batch: 512, references: 50_000, shape: rgb, all: true },
];

/** Values that broadcasting holds at the same time, in one of several arrays: more do not fit in every machine's memory. */
const MOST_BROADCAST = 2.5e8;
/** Images that a pool is drawn from, of each class where there are classes. */
const BANK = 8192;

const dimensionOf = ({ channels, height, width }: ImageShape): number => channels * height * width;

function nameOf({ batch, references, shape, all, classes }: Case): string {
  const of = all ? " (all)" : classes ? " by class" : "";
  return `STF target, B=${batch}, n=${references}${of}, D=${dimensionOf(shape)}`;
}

async function run(bench: Bench, { batch, references, shape, all, classes = 0 }: Case): Promise<Row[]> {
  const dimension = dimensionOf(shape);
  const { device, time } = bench.place;
  using bank = disposable(randomBank(shape, all ? references : BANK * Math.max(classes, 1), classes, device));
  const random = new KeyedRandom(randomKey(0, "references"));
  const indices = random.permutation(bank.count).slice(0, batch);
  // Enough noise that every reference has a nonzero weight: those without one cost little.
  const levels = logNormalLevels(4, 0.5);
  const sigma = Float64Array.from(indices, () => levels(random));
  const size = [batch, shape.channels, shape.height, shape.width];
  using source = scope(() => normalize(bank.gather(indices)).view(size));
  using noise = randn(size, { device });
  const target = stableFieldTarget();
  const rule = { references: all ? "all" : references, sameClass: classes > 0 } as const;
  const ours = (): number => {
    const drawn = drawReferences(bank, indices, rule, random);
    return time(() => scope(() => void targetFrom(target, { indices, source, noise, sigma }, drawn)));
  };
  const { pytorch } = bench;
  const broadcast = pytorch &&
    batch * references * dimension <= MOST_BROADCAST && {
      what: "PyTorch by broadcasting",
      cost: () => pytorch.call<number>("target", { batch, references, dimension }),
    };
  return await compare(bench, {
    unit: milliseconds,
    ours,
    against: [broadcast || undefined],
    flops: {
      what: "its two matrix products",
      count: 4 * batch * references * dimension,
      precision: "fp32",
      limit: matrixProductOn(bench.place),
    },
  });
}

const disposable = <T extends { dispose(): void }>(value: T): T & Disposable =>
  Object.assign(value, { [Symbol.dispose]: () => value.dispose() });

export const targetBenchmarks: readonly Benchmark[] = cases.map((each) => ({
  section: "Stable targets",
  name: nameOf(each),
  isShort: each.isShort ?? false,
  run: (bench) => run(bench, each),
}));
