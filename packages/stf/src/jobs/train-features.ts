/** Training a classifier whose features describe images, as a job: from labelled images to a file. */

import { statSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { type ClassifierDescription, saveClassifier } from "../checkpoints/classifier-file.js";
import { InputError } from "../common/errors.js";
import { digestOf } from "../common/file-digest.js";
import { makeFolderFor } from "../common/folders.js";
import { formatImageShape } from "../common/image-shape.js";
import { checkAlone } from "../common/ranks.js";
import { abbreviated, formatDuration } from "../common/text.js";
import {
  automaticEpochs,
  type FeaturesRequest,
  featuresOptions,
  type ResolvedFeatures,
} from "../config/features-request.js";
import type { ImageBank } from "../data/image-bank.js";
import { digestOfImages } from "../data/image-digest.js";
import { classCount } from "../data/labels.js";
import { openDataset } from "../data/open.js";
import type { Classifier } from "../features/classifier.js";
import { type ClassifierProgress, countCorrect, holdOut, trainClassifier } from "../features/classifier-training.js";
import { type JobContext, jobContext } from "./context.js";
import { checkDevice } from "./device.js";
import { withinMemory } from "./memory.js";
import { writeOrRescue } from "./rescue.js";

/** The share of the images that is held out when there is no test set. */
const HELD_OUT = 0.1;
/** Fewer images say nothing about a classifier. */
const FEWEST_IMAGES = 100;

/** Images, and those among them that a training or a measurement takes. */
interface Chosen {
  readonly bank: ImageBank;
  readonly indices: Int32Array;
}

/** What is trained on, and what the accuracy is measured with. */
interface Sets {
  readonly training: Chosen;
  readonly test: Chosen;
  /** Name of the data set. */
  readonly name: string;
  /** Where the images for the accuracy come from. */
  readonly from: string;
  /** Names of the classes, by number. */
  readonly classNames: readonly string[] | undefined;
  /** SHA-256 of the images that were read. */
  readonly digest: string;
}

/** The classes that occur, ascending. @throws InputError when there are none */
function classesIn(path: string, { labels, unlabelled = "the data set has none" }: ImageBank): readonly number[] {
  if (labels) return [...new Set(labels)].sort((a, b) => a - b);
  throw new InputError(
    `${path} must have class labels: ${unlabelled}; put the images of each class in a folder of its own`,
  );
}

/** @throws InputError when a classifier cannot be trained on these images */
function checkTrainable(path: string, bank: ImageBank): void {
  const classes = classesIn(path, bank);
  const { labels = new Int32Array(), count } = bank;
  if (classes.length < 2) {
    throw new InputError(`${path} must have at least two classes, found one for all of its ${count} images`);
  }
  if (count < FEWEST_IMAGES) {
    throw new InputError(`${path} must have at least ${FEWEST_IMAGES} images to train a classifier on, found ${count}`);
  }
  if (classCount(bank) > count) {
    throw new InputError(
      `${path} must number its classes 0, 1, 2, ..., found class ${classes.at(-1)} among ${count} images`,
    );
  }
  const single = classes.filter((label) => labels.indexOf(label) === labels.lastIndexOf(label));
  if (single.length > 0) {
    const names = single.map((label) => bank.classNames?.[label] ?? String(label));
    throw new InputError(
      `${path} must have at least two images of each class, found one of ${abbreviated(names)}; add images, or remove the class`,
    );
  }
}

/** @throws InputError when test images do not fit those of the training */
function checkTest(path: string, test: ImageBank, training: ImageBank): void {
  const [found, wanted] = [formatImageShape(test.shape), formatImageShape(training.shape)];
  if (found !== wanted) {
    throw new InputError(`${path} must hold images of ${wanted} like those of the training, found ${found}`);
  }
  const stranger = classesIn(path, test).find((label) => label >= classCount(training));
  const name = training.classNames && test.classNames?.find((own) => !training.classNames?.includes(own));
  if (stranger === undefined && name === undefined) return;
  throw new InputError(`${path} must have only classes of the training, found ${name ?? stranger}`);
}

async function read(
  path: string,
  numbering: readonly string[] | undefined,
  { reporter }: JobContext,
): Promise<ImageBank> {
  const notes: string[] = [];
  const bank = await openDataset(path, {
    numbering: numbering ?? "natural",
    onNote: (line) => void notes.push(line),
    onProgress: (done, total) => reporter.update(`reading ${path}: ${done} of ${total} images`),
  });
  reporter.clear();
  for (const note of notes) reporter.print(`note: ${note}`);
  return bank;
}

/** Files such as train-images-idx3-ubyte have the name of a part of a data set; the folder has that of the data set. */
function dataName(path: string, { name }: ImageBank): string {
  if (!/^(train|t10k|test)\b/i.test(name)) return name;
  const whole = resolve(path);
  const isWithin = statSync(whole).isDirectory() && basename(whole) !== name;
  return `${basename(isWithin ? whole : dirname(whole))}/${name}`;
}

const allOf = (bank: ImageBank): Chosen => ({ bank, indices: Int32Array.from({ length: bank.count }, (_, i) => i) });

/** Reads the images, checks them, and divides them. Calls `own` with each bank that is to be freed. */
async function setsFor(
  { data, testData, seed, device }: ResolvedFeatures,
  context: JobContext,
  own: (bank: ImageBank) => void,
): Promise<Sets> {
  const placed = (bank: ImageBank): ImageBank => {
    if (device === "cpu") return bank;
    const moved = bank.to(device);
    own(moved);
    return moved;
  };
  const bank = await read(data, undefined, context);
  own(bank);
  checkTrainable(data, bank);
  const { classNames, labels = new Int32Array() } = bank;
  const [name, digest] = [dataName(data, bank), digestOfImages(bank)];
  if (testData === null) {
    const { training, heldOut } = holdOut(labels, HELD_OUT, seed);
    const moved = placed(bank);
    const [kept, held] = [training, heldOut].map((indices) => ({ bank: moved, indices })) as [Chosen, Chosen];
    return { training: kept, test: held, name, from: "held out", classNames, digest };
  }
  const test = await read(testData, classNames, context);
  own(test);
  checkTest(testData, test, bank);
  return {
    training: allOf(placed(bank)),
    test: allOf(placed(test)),
    name,
    from: dataName(testData, test),
    classNames,
    digest,
  };
}

/** What a training of a classifier gave. */
export interface TrainFeaturesResult {
  /** "stopped" when `context.shouldStop` ended it; nothing is written then. */
  readonly reason: "finished" | "stopped";
  /** Path of the classifier; undefined if there is none. */
  readonly file: string | undefined;
  /** SHA-256 of the file, 64 hexadecimal digits. */
  readonly sha256: string | undefined;
  /** What it was trained on, and how accurate it is. */
  readonly about: ClassifierDescription | undefined;
  /** Number of weights. */
  readonly parameterCount: number | undefined;
  /** Seconds of training. */
  readonly seconds: number;
  /** What could not be written to its path, in one line. */
  readonly problem?: string;
}

/** Reports progress, and the accuracy after each time that all images were seen. */
function progressReporter(
  sets: Sets,
  context: JobContext,
): (progress: ClassifierProgress, network: Classifier) => void {
  const { reporter, now } = context;
  const start = now();
  const perEpoch = sets.training.indices.length;
  let epoch = 0;
  return ({ images, totalImages, loss }, network) => {
    const rate = images / (now() - start);
    const left = formatDuration((totalImages - images) / rate);
    const line = `${images} of ${totalImages} images  loss ${loss.toFixed(3)}  ${Math.round(rate)} images/s  ${left} left`;
    reporter.update(line);
    const done = Math.floor(images / perEpoch);
    if (done === epoch || images === totalImages) return;
    epoch = done;
    const share = countCorrect(network, sets.test.bank, sets.test.indices) / sets.test.indices.length;
    reporter.print(`${line}  accuracy so far ${share.toFixed(4)}`);
  };
}

/**
 * Trains a classifier on labelled images, measures its accuracy on images that it was not trained on, and writes it to a file
 * that {@link readClassifier} turns into a feature network.
 *
 *     const { file, sha256, about } = await trainFeatures({ data: "photos", dest: "photos.safetensors" });
 *
 * A stopped training writes nothing: a classifier from the middle of a training is a worse measuring device, and looks like
 * a finished one.
 *
 * @throws UsageError for a request that is not possible; InputError for images that cannot be used, or a file that cannot be
 * written, before the training.
 */
export async function trainFeatures(
  request: FeaturesRequest,
  context: JobContext = jobContext(),
): Promise<TrainFeaturesResult> {
  const options = featuresOptions(request);
  checkAlone("features train", context.rank);
  checkDevice(options.device);
  makeFolderFor(options.dest, "dest");
  const banks: ImageBank[] = [];
  try {
    const sets = await setsFor(options, context, (bank) => void banks.push(bank));
    return await trainOn(sets, options, context);
  } finally {
    for (const bank of banks) bank.dispose();
  }
}

async function trainOn(sets: Sets, options: ResolvedFeatures, context: JobContext): Promise<TrainFeaturesResult> {
  const { training, test, name, from, classNames, digest } = sets;
  const { width, batch, lr, xflip, seed } = options;
  const epochs = options.epochs ?? automaticEpochs(training.indices.length);
  context.reporter.print(
    `training on ${training.indices.length} images of ${formatImageShape(training.bank.shape)} in ${classCount(training.bank)} classes, ${epochs === 1 ? "once" : `${epochs} times`}; accuracy on ${test.indices.length} others (${from})`,
  );
  const start = context.now();
  const network = await withinMemory(
    () => `lower 'batch' (it is ${batch})`,
    () =>
      trainClassifier(
        training.bank,
        training.indices,
        { dimension: options.dim, width, epochs, batch, lr, xflip, seed },
        { onStep: progressReporter(sets, context), shouldStop: context.shouldStop },
      ),
  );
  const seconds = context.now() - start;
  context.reporter.clear();
  if (!network) {
    return {
      reason: "stopped",
      file: undefined,
      sha256: undefined,
      about: undefined,
      parameterCount: undefined,
      seconds,
    };
  }
  try {
    const { parameterCount } = network;
    const correct = countCorrect(network, test.bank, test.indices);
    const about: ClassifierDescription = {
      ...{ data: name, dataDigest: digest, images: training.indices.length },
      classNames: classNames ?? null,
      accuracy: { correct, images: test.indices.length, from },
      ...{ epochs, batch, lr, xflip, seed },
    };
    const { path, problem } = await writeOrRescue(options.dest, (place) => saveClassifier(place, network, about));
    const sha256 = await digestOf(path);
    const saved = { file: path, sha256, about, parameterCount, seconds };
    return { reason: "finished", ...saved, ...(problem !== undefined && { problem }) };
  } finally {
    network.dispose();
  }
}
