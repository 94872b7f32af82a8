/** Training steps: ours against PyTorch's, against the published code's, and with stable targets against without. */

import {
  augmentationSettings,
  denoisingTarget,
  PASSES_PER_STEP,
  type Precision,
  sigmaRange,
  stableFieldTarget,
} from "stf";
import { type Bench, type Benchmark, compare, imagesPerSecond, type Opponent, type Row } from "../benchmark.js";
import { augmented, type BenchNetwork, batchOn, type NetworkName, networkNames, networks } from "../networks.js";
import { type Peer, sameNetwork } from "../peer.js";
import type { Place } from "../place.js";
import { type Objective, Trainee } from "../trainee.js";

/** The published setting for CIFAR-10. */
const augmentation = augmentationSettings({ probability: 0.12 });
/** Below this, `--stf-sigma=auto` computes no targets for most images of CIFAR-10. */
const isNeeded = sigmaRange(0.8, Number.MAX_VALUE);
const REFERENCES = 1024;

/** A kind of training step. */
interface Variant {
  readonly name: string;
  readonly more?: Partial<Objective>;
  /** Stable targets with this many references; left out, the target is the source. */
  readonly references?: number | "all";
  readonly classes?: number;
  /** Images in the data set. */
  readonly images?: number;
  /** The peer that computes the same. */
  readonly peer?: "pytorch" | "published";
  /** Only measured with these networks. */
  readonly networks?: readonly NetworkName[];
  /** Measured in the short run with these networks, in the fastest precision or in all. */
  readonly short?: Partial<Record<NetworkName, Extent>>;
  /** The same on a GPU. */
  readonly shortOnGpu?: Partial<Record<NetworkName, Extent>>;
}

type Extent = "fastest" | "all";

const variants: readonly Variant[] = [
  {
    name: "DSM",
    peer: "pytorch",
    short: { small: "all", ddpmpp: "all" },
    shortOnGpu: { ddpmpp: "all", small: "fastest" },
  },
  {
    name: "DSM augmented",
    more: { augmentation },
    peer: "published",
    short: { small: "fastest" },
    shortOnGpu: { ddpmpp: "all" },
  },
  { name: "STF", references: REFERENCES, shortOnGpu: { ddpmpp: "fastest", small: "fastest" } },
  {
    name: "STF, n=50000 (all)",
    references: "all",
    images: 50_000,
    short: { small: "fastest" },
    shortOnGpu: { ddpmpp: "fastest" },
  },
  { name: "STF by class", references: REFERENCES, classes: 10, networks: ["small"] },
  { name: "STF by class, sigma > 0.8", references: REFERENCES, classes: 10, more: { isNeeded }, networks: ["small"] },
  { name: "STF consistent, all sigma", references: REFERENCES, more: { augmentation }, networks: ["small"] },
  {
    name: "STF consistent, sigma > 0.8",
    references: REFERENCES,
    more: { augmentation, isNeeded },
    peer: "published",
    short: { small: "fastest" },
    shortOnGpu: { ddpmpp: "fastest" },
  },
  {
    name: "STF independent",
    references: REFERENCES,
    more: { augmentation, referenceAugmentation: "independent" },
    peer: "published",
    networks: ["small"],
  },
];

/** The peer's steps, after it was given our network. */
async function peerSteps(
  peer: Peer,
  ours: Trainee,
  {
    bench,
    network,
    variant,
    precision,
  }: { bench: Bench; network: BenchNetwork; variant: Variant; precision: Precision },
): Promise<Opponent> {
  const batch = batchOn(network, bench.place);
  const config = configOf(network, variant);
  const isPublished = variant.peer === "published";
  // The published code uses half precision if requested, and never TF32.
  const theirs = isPublished && precision !== "bf16" ? "fp32" : precision;
  await sameNetwork(peer, ours, config, bench.folder, isPublished && !bench.place.isGpu ? undefined : theirs);
  const sizes = {
    batch,
    shape: Object.values(config.shape),
    ...(isPublished && variant.references !== undefined && { references: variant.references }),
  };
  return {
    what: isPublished
      ? `the published code, ${bench.place.isGpu && theirs === "bf16" ? "fp16" : "fp32"}`
      : `PyTorch, ${precision}`,
    cost: () => peer.call<number>("step", sizes),
  };
}

const configOf = ({ config }: BenchNetwork, { more, classes }: Variant) => ({
  ...(more?.augmentation ? augmented(config) : config),
  ...(classes !== undefined && { labelDim: classes }),
});

async function run(bench: Bench, network: BenchNetwork, variant: Variant, precision: Precision): Promise<Row[]> {
  const { place } = bench;
  const batch = batchOn(network, place);
  const ours = new Trainee(place, configOf(network, variant), precision, batch, variant.images);
  const peer = variant.peer && bench[variant.peer];
  try {
    const denoising: Objective = { ...variant.more, target: denoisingTarget };
    const { references } = variant;
    const objective = references === undefined ? denoising : { ...denoising, target: stableFieldTarget(), references };
    return await compare(bench, {
      unit: imagesPerSecond(batch),
      ours: () => ours.step(objective),
      against: [
        references === undefined ? undefined : { what: "our own DSM step", cost: () => ours.step(denoising) },
        peer && (await peerSteps(peer, ours, { bench, network, variant, precision })),
      ],
      flops: { what: "its model FLOPs", count: PASSES_PER_STEP * batch * ours.forwardFlops, precision },
    });
  } finally {
    await peer?.call("forget");
    ours.dispose();
  }
}

const isShort = (how: Extent | undefined, precision: Precision, precisions: readonly Precision[]): boolean =>
  how === "all" || (how === "fastest" && precision === precisions.at(-1));

export const trainingBenchmarks = ({ precisions, isGpu }: Place): readonly Benchmark[] =>
  networkNames.flatMap((key) =>
    variants
      .filter((variant) => variant.networks?.includes(key) ?? true)
      .flatMap((variant) =>
        precisions.map((precision) => ({
          section: "Training steps",
          name: `train step, ${networks[key].label}, ${variant.name}, ${precision}`,
          isShort: isShort((isGpu ? variant.shortOnGpu : variant.short)?.[key], precision, precisions),
          run: (bench) => run(bench, networks[key], variant, precision),
        })),
      ),
  );
