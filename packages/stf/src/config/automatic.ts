/**
 * Options that suit the data, the time and the machine: what `preset=auto` chooses where the request is silent, and why.
 * A pure function of facts, which `jobs/automatic.ts` gathers.
 */

import { formatImageShape, type ImageShape } from "../common/image-shape.js";
import { formatDuration } from "../common/text.js";
import { activationsPerImage } from "../networks/activations.js";
import { type Architecture, defaultSizes } from "../networks/architectures.js";
import { usualComponents } from "./analytic-options.js";
import { enoughMinutes, isTooShort } from "./enough-training.js";
import { resolve } from "./fields.js";
import { networkSize, type SizeOptions } from "./network-size.js";
import { presets, type TrainOptions, trainFields } from "./train-options.js";

/** What the choice depends on, apart from the request. */
export interface AutomaticFacts {
  /** Images in the data set, including mirror images. */
  readonly images: number;
  /** Shape of the images. */
  readonly shape: ImageShape;
  /** Bytes that the activations of a step may take. */
  readonly memory: number;
}

/** A candidate network. */
export interface NetworkCandidate {
  /** Its options. */
  readonly size: SizeOptions;
  /** Images of training below which a smaller network does better. */
  readonly leastTraining: number;
  /** Images in the data set below which a larger network only memorises them. */
  readonly leastImages: number;
}

/** Images per second of each candidate measured, smallest network first. */
export type Speeds = readonly number[];

/** The choice. */
export interface AutomaticChoice {
  /** The options chosen; those of the request are left out. */
  readonly options: Partial<TrainOptions>;
  /** Images that the training is expected to process. */
  readonly expected: number;
  /** The choice and the reasons, line by line. */
  readonly reasons: readonly string[];
}

interface Rung {
  readonly cbase: number;
  readonly numBlocks: number;
  readonly width: "narrow" | "wide" | "published";
  readonly leastTraining: number;
  readonly leastImages: number;
}

/**
 * Networks from small to large. A network pays off from about a tenth of an image per parameter: between the preset
 * `fashion-mnist` (0.9 million parameters, 70,000 images) and the published runs, which process far more than that.
 */
const unets: readonly Rung[] = [
  { cbase: 16, numBlocks: 1, width: "narrow", leastTraining: 0, leastImages: 0 },
  { cbase: 32, numBlocks: 1, width: "narrow", leastTraining: 20_000, leastImages: 0 },
  { cbase: 32, numBlocks: 2, width: "wide", leastTraining: 150_000, leastImages: 200 },
  { cbase: 64, numBlocks: 2, width: "wide", leastTraining: 700_000, leastImages: 5_000 },
  { cbase: 96, numBlocks: 3, width: "wide", leastTraining: 2_500_000, leastImages: 20_000 },
  { cbase: 128, numBlocks: 4, width: "published", leastTraining: 6_000_000, leastImages: 40_000 },
];
/** Attention in adm has one head per 64 channels. */
const adms: readonly Rung[] = [
  { cbase: 64, numBlocks: 1, width: "narrow", leastTraining: 0, leastImages: 0 },
  { cbase: 64, numBlocks: 2, width: "wide", leastTraining: 700_000, leastImages: 5_000 },
  { cbase: 128, numBlocks: 3, width: "wide", leastTraining: 3_000_000, leastImages: 20_000 },
  { cbase: 192, numBlocks: 3, width: "published", leastTraining: 20_000_000, leastImages: 100_000 },
];
/** An mlp has no resolutions. */
const mlps: readonly Rung[] = [
  { cbase: 128, numBlocks: 3, width: "narrow", leastTraining: 0, leastImages: 0 },
  { cbase: 512, numBlocks: 3, width: "narrow", leastTraining: 100_000, leastImages: 1_000 },
];
const ladders: Readonly<Record<Architecture, readonly Rung[]>> = {
  ddpmpp: unets,
  ncsnpp: unets,
  adm: adms,
  mlp: mlps,
};

/** Channel multipliers for up to seven resolutions, full resolution first: large maps cost most, small ones need most channels. */
const widths = { narrow: [1, 1, 2, 2, 4, 4, 4], wide: [1, 2, 2, 2, 4, 4, 4] } as const;

/** Number of resolutions, from full size down to about 8 pixels. */
function resolutionsOf({ height, width }: ImageShape): number[] {
  const resolutions = [height];
  for (let size = height; size > 8 && size % 2 === 0 && width % 2 ** resolutions.length === 0; size /= 2) {
    resolutions.push(size / 2);
  }
  return resolutions.slice(0, widths.wide.length);
}

function multiplesOf({ width }: Rung, arch: Architecture, levels: number): readonly number[] {
  const published = defaultSizes[arch].channelMult;
  if (width === "published" && published.length >= levels) return published.slice(0, levels);
  if (levels === 2 && width === "narrow") return [1, 2];
  return widths[width === "narrow" ? "narrow" : "wide"].slice(0, levels);
}

/** The networks that a request allows, smallest first; exactly one if it leaves nothing open. */
export function networkCandidates(given: Partial<TrainOptions>, shape: ImageShape): NetworkCandidate[] {
  const { arch = trainFields.arch.default } = given;
  const resolutions = resolutionsOf(shape);
  const candidates = ladders[arch].map((rung): NetworkCandidate => {
    const { cbase, numBlocks, width, leastTraining, leastImages } = rung;
    const cres = given.cres ?? multiplesOf(rung, arch, resolutions.length);
    const reached = resolutions.slice(0, cres.length);
    // Attention pays off at few pixels. Small networks can afford it at the lowest resolution; the middle block always has it.
    const few = reached.filter((size) => size <= 16);
    const attended = (width === "narrow" ? few.at(-1) : few[0]) ?? 0;
    const unet = { cres, attn: given.attn ?? [attended] };
    return {
      size: {
        cbase: given.cbase ?? cbase,
        numBlocks: given.numBlocks ?? numBlocks,
        ...(arch === "mlp" ? { cres: null, attn: null } : unet),
      },
      leastTraining,
      leastImages,
    };
  });
  // Transferred weights determine the network.
  if (given.transfer) {
    const { cbase = null, cres = null, numBlocks = null, attn = null } = given;
    return [{ size: { cbase, cres, numBlocks, attn }, leastTraining: 0, leastImages: 0 }];
  }
  const seen = new Set<string>();
  return candidates.filter(({ size }) => {
    const key = JSON.stringify(size);
    return !seen.has(key) && seen.add(key);
  });
}

/** Time limit of a run without a time limit or a duration, in minutes. */
const DEFAULT_MINUTES = 60;
/** Passes over a small data set after which nothing more can be learned from it. */
const MOST_PASSES = 5000;

interface Budget {
  /** Training time; infinite when the images alone decide, so that nothing needs to be measured. */
  readonly seconds: number;
  /** Images of training, at most. */
  readonly images: number;
  /** The options left open. */
  readonly options: Partial<TrainOptions>;
}

function budgetOf({ timeLimit, duration }: Partial<TrainOptions>, { images }: AutomaticFacts): Budget {
  const millions = duration ?? trainFields.duration.default;
  if (duration !== undefined || timeLimit) {
    const seconds = timeLimit ? 60 * timeLimit : Number.POSITIVE_INFINITY;
    return { seconds, images: 1e6 * millions, options: {} };
  }
  const most = Math.min(millions, rounded((MOST_PASSES * images) / 1e6));
  return {
    seconds: 60 * DEFAULT_MINUTES,
    images: 1e6 * most,
    options: { timeLimit: DEFAULT_MINUTES, duration: most },
  };
}

const imagesWithin = ({ seconds, images }: Budget, speed: number): number => Math.min(images, seconds * speed);

/**
 * Index of the next candidate to measure; undefined when enough is known.
 *
 * @param speeds - images per second of the candidates before it
 */
export function nextToMeasure(given: Partial<TrainOptions>, facts: AutomaticFacts, speeds: Speeds): number | undefined {
  const budget = budgetOf(given, facts);
  if (budget.seconds === Number.POSITIVE_INFINITY) return undefined;
  const next = networkCandidates(given, facts.shape)[speeds.length];
  if (!next) return undefined;
  const last = speeds.at(-1);
  if (last === undefined) return 0;
  // A larger network is slower, so it would process even fewer images.
  const isOpen = imagesWithin(budget, last) >= next.leastTraining && facts.images >= next.leastImages;
  return isOpen ? speeds.length : undefined;
}

/** One digit: more would suggest a precision that is not there. */
const rounded = (value: number): number => Number(value.toPrecision(1));

const powerOfTwo = (value: number): number => 2 ** Math.round(Math.log2(value));

/** 32 images for runs such as the preset `fashion-mnist`, about 512 for the published ones; never more than the data set. */
function batchOf(expected: number, images: number): number {
  const wanted = Math.min(Math.max(powerOfTwo(32 * Math.cbrt(expected / 60_000)), 8), 512);
  return wanted <= images ? wanted : 2 ** Math.floor(Math.log2(Math.max(images, 1)));
}

/** Falls with the width and rises with the square root of the batch; fits the preset `fashion-mnist` and the published networks. */
function learningRateOf(widest: number, batch: number): number {
  return Math.min(1e-3, rounded(1e-3 * Math.sqrt(batch / 32) * (64 / widest)));
}

/** As many images as fit into memory at once; null for the whole batch. */
function microBatchOf(batch: number, bytesPerImage: number, memory: number): number | null {
  if (batch * bytesPerImage <= memory) return null;
  return Math.max(1, 2 ** Math.floor(Math.log2(memory / bytesPerImage)));
}

/** Passes over the data set from which augmentation, and from which dropout, is used. */
const [AUGMENTED_PASSES, DROPPED_PASSES] = [20, 100];

/** Images from which a few Gaussians describe them. */
const ENOUGH_IMAGES = 250;

const thousands = (value: number): string => Math.round(value).toLocaleString("en-US");
const counted = (value: number, what: string): string => `${thousands(value)} ${what}${value === 1 ? "" : "s"}`;
const twoDigits = (value: number): number => Number(value.toPrecision(2));

/** What determines the other options. */
interface Outlook {
  readonly budget: Budget;
  readonly size: SizeOptions;
  /** Images that the training is expected to process. */
  readonly expected: number;
  /** Images per second, if measured. */
  readonly speed: number | undefined;
}

/** The largest network that the budget and the data justify. */
function outlookOf(given: Partial<TrainOptions>, facts: AutomaticFacts, speeds: Speeds): Outlook {
  const budget = budgetOf(given, facts);
  const isTimed = budget.seconds < Number.POSITIVE_INFINITY;
  const [smallest, ...larger] = networkCandidates(given, facts.shape).map(({ size, ...least }, i) => {
    const expected = isTimed ? imagesWithin(budget, speeds[i] ?? 0) : budget.images;
    return { budget, size, expected, speed: speeds[i], ...least };
  });
  const best = larger.findLast(
    ({ expected, leastTraining, leastImages }) => expected >= leastTraining && facts.images >= leastImages,
  );
  return best ?? (smallest as Outlook);
}

/** How often averages are stored at least, with the snapshots: from so many, others are made well enough. */
const STORED_AVERAGES = 6;

/**
 * Chooses what the request leaves open.
 *
 * @param given - the options of the request, which are kept unchanged
 * @param speeds - images per second of the candidates that {@link nextToMeasure} requested
 */
export function automaticOptions(given: Partial<TrainOptions>, facts: AutomaticFacts, speeds: Speeds): AutomaticChoice {
  const { images, shape, memory } = facts;
  const { arch = trainFields.arch.default, stf = presets.auto.options.stf } = given;
  const outlook = outlookOf(given, facts, speeds);
  const { budget, size, expected } = outlook;
  const sizes = networkSize(arch, size);
  const passes = expected / images;
  // Then no process has all images, to which Gaussians are fitted.
  const isDivided = stf && given.stfShard === true && given.rbatch === "all";
  const batch = given.batch ?? batchOf(expected, images);
  const bytes = 4 * activationsPerImage({ arch, shape, ...sizes }, given.recompute);
  const tick = given.tick ?? Math.min(Math.max(rounded(expected / 30_000), 0.1), trainFields.tick.default);
  const chosen: Partial<TrainOptions> = {
    ...budget.options,
    ...size,
    batch,
    batchGpu: microBatchOf(batch, bytes, memory),
    lr: learningRateOf(sizes.modelChannels * Math.max(...sizes.channelMult), batch),
    lrRampup: rounded(expected / 30) / 1e6,
    ema: Math.min(rounded(0.15 * expected) / 1e6, trainFields.ema.default),
    augment: passes >= AUGMENTED_PASSES ? trainFields.augment.default : 0,
    analytic: images >= ENOUGH_IMAGES && !isDivided ? usualComponents(shape) : 0,
    dropout: arch !== "mlp" && passes >= DROPPED_PASSES ? trainFields.dropout.default : 0,
    tick,
    ...(given.average === "power" && {
      snap: Math.max(1, Math.min(Math.floor(expected / (1000 * tick) / STORED_AVERAGES), trainFields.snap.default)),
    }),
    ...(stf && { rbatch: Math.min(images, 1024) }),
  };
  const options = Object.fromEntries(Object.entries(chosen).filter(([key]) => !(key in given)));
  const all = { ...resolve(trainFields), ...chosen, ...given, stf: stf === true };
  return { options, expected, reasons: reasonsOf(all, facts, outlook) };
}

function networkReason({ arch, ...size }: TrainOptions): string {
  const { modelChannels, channelMult, numBlocks, attnResolutions } = networkSize(arch, size);
  if (arch === "mlp") return `${numBlocks} hidden layers of ${modelChannels}`;
  const attention = attnResolutions.filter((resolution) => resolution > 0);
  return [
    `${modelChannels} channels times ${channelMult.join(",")}`,
    `${counted(numBlocks, "block")} per resolution`,
    attention.length > 0 ? `attention at ${attention.join(",")}` : "attention in the middle only",
  ].join(", ");
}

function reasonsOf(options: TrainOptions, { images, shape }: AutomaticFacts, outlook: Outlook): string[] {
  const { budget, expected, speed } = outlook;
  const { stf, rbatch, batch, batchGpu, lr, lrRampup, ema, average, snap, augment, dropout, analytic } = options;
  const isTimed = budget.seconds < Number.POSITIVE_INFINITY;
  const unsaid = "timeLimit" in budget.options ? " (the default 'timeLimit')" : "";
  const time = isTimed ? ` in ${formatDuration(budget.seconds)}${unsaid}` : "";
  const pace = speed === undefined ? "" : `, ${twoDigits(speed)} images/s here`;
  const parts = batchGpu !== null && batchGpu < batch ? ` (${batchGpu} at a time, to fit in memory)` : "";
  const means = [augment > 0 && `augmentation ${augment}`, dropout > 0 && `dropout ${dropout}`].filter(Boolean);
  const references = rbatch === "all" ? "all references" : counted(rbatch, "reference");
  const target = stf ? `stable targets, ${references} ('stf=0' turns them off)` : "no stable targets";
  const rise = lrRampup > 0 ? ` after ${counted(1e6 * lrRampup, "image")}` : "";
  const averaging =
    average === "power" ? `two averages, stored every ${snap} ticks` : `averaging half-life ${thousands(1e6 * ema)}`;
  const isShort = speed !== undefined && isTimed && isTooShort(budget.seconds * speed);
  const advice = isShort && `that is short: try 'timeLimit=${enoughMinutes(speed)}' or smaller images`;
  return [
    `for ${counted(images, "image")} of ${formatImageShape(shape)}${time}; 'preset=published' selects the published settings`,
    `network: ${networkReason(options)}${pace}`,
    `about ${thousands(twoDigits(expected))} images of training, ${twoDigits(expected / images)} passes over the data: ${means.join(", ") || "no augmentation or dropout"}`,
    `batch ${batch}${parts}, learning rate ${lr}${rise}, ${averaging}`,
    target,
    ...(analytic > 0
      ? [`up to ${counted(analytic, "Gaussian")} to draw with at high noise ('analytic=0' turns them off)`]
      : []),
    ...(advice ? [advice] : []),
  ];
}
