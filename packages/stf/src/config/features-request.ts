/** A request for a classifier: the options of `stf features train`, checked together. */

import { existsSync, statSync } from "node:fs";
import { resolve as resolvePath } from "node:path";
import { UsageError } from "../common/errors.js";
import { type FeaturesCommandOptions, featuresFields } from "./features-options.js";
import { checkValues, resolve } from "./fields.js";

/** What to train: the options of `stf features train`, by their names in programs. Anything left out takes its default. */
export type FeaturesRequest = Partial<FeaturesCommandOptions>;

/** A request with all options resolved. */
export interface ResolvedFeatures extends FeaturesCommandOptions {
  readonly data: string;
  readonly dest: string;
}

/** Images seen in a training whose length is not given: minutes on two processor cores, for images of 32x32. */
const IMAGES_SEEN = 250_000;
/** More does not help a few images. */
const MOST_EPOCHS = 100;

/** How many times each of `count` images is seen when the request does not say. */
export function automaticEpochs(count: number): number {
  return Math.min(MOST_EPOCHS, Math.max(1, Math.round(IMAGES_SEEN / count)));
}

/** @throws UsageError when an option is missing or out of range, or the file cannot be written to `dest` */
export function featuresOptions(request: FeaturesRequest): ResolvedFeatures {
  const options = resolve(featuresFields, checkValues(featuresFields, request, "the request"));
  const { data, testData, dest } = options;
  if (data === null)
    throw new UsageError("'data' must name labelled images, such as a folder with one folder per class");
  if (dest === null) throw new UsageError("'dest' must name the classifier to write, such as classifier.safetensors");
  if (testData !== null && resolvePath(testData) === resolvePath(data)) {
    throw new UsageError(
      "'testData' must differ from 'data': accuracy on the images of the training says little; leave it out, and a tenth is held out",
    );
  }
  if (existsSync(dest) && !statSync(dest).isFile()) {
    throw new UsageError(`'dest' must name a file; ${dest} is a folder`);
  }
  if (!/\.safetensors$/i.test(dest)) {
    throw new UsageError(`'dest' must name a *.safetensors file, the format that is written, found ${dest}`);
  }
  return { ...options, data, dest };
}
