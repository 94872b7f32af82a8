/** The options of `stf fid calc` and `stf fid ref`, under the published names and with the published defaults. */

import { UsageError } from "../common/errors.js";
import { featuresField } from "./evaluate-options.js";
import { checkDistinct, checkLocal } from "./evaluate-request.js";
import { checkValues, device, type Fields, integer, resolve, text, type Values } from "./fields.js";

const shared = {
  /** What sets of images are described by. */
  features: featuresField(),
  batch: integer({ default: 64, min: 1, help: "images computed at once" }),
  device: device({ default: "cpu", help: "device to compute on" }),
} as const;

/** The options of `stf fid calc`, by name. */
export const fidCalcFields = {
  images: text<string | null>({ default: null, help: "images to evaluate: a folder, zip or npz", placeholder: "PATH" }),
  ref: text<string | null>({
    default: null,
    help: "statistics of the reference's features: an npz file with mu and sigma, as stf fid ref writes",
    placeholder: "FILE",
  }),
  num: integer({ default: 50_000, min: 2, help: "images to use" }),
  seed: integer({ default: 0, min: 0, help: "seed of the choice of images, if there are more" }),
  dest: text<string | null>({ default: null, help: "JSON file with the number and its protocol", placeholder: "FILE" }),
  ...shared,
} as const;

/** The options of `stf fid ref`, by name. */
export const fidRefFields = {
  data: text<string | null>({ default: null, help: "the data set: whatever stf train reads", placeholder: "PATH" }),
  dest: text<string | null>({ default: null, help: "npz file to write", placeholder: "FILE" }),
  ...shared,
} as const;

/** What to compute: the options of `stf fid calc`, by their names in programs. */
export type FidCalcRequest = Partial<Values<typeof fidCalcFields>>;

/** What to compute: the options of `stf fid ref`, by their names in programs. */
export type FidRefRequest = Partial<Values<typeof fidRefFields>>;

type Required<F extends Fields, K extends keyof F> = Values<F> & { readonly [key in K]: string };

const missing: Readonly<Record<string, string>> = {
  images: "'images' must name the images to evaluate, such as a folder of PNG files",
  ref: "'ref' must name statistics of the reference's features, an npz file that 'stf fid ref' or the published tool wrote",
  data: "'data' must name the data set that the network was trained on",
  dest: "'dest' must name the npz file to write",
  features:
    "'features' must name the file of a feature network, such as the Inception of FID; docs/features.md says where to get it",
};

/** @throws UsageError when an option is missing or out of range */
function checked<F extends Fields, K extends keyof F & string>(
  fields: F,
  request: object,
  required: readonly K[],
): Required<F, K> {
  const options = resolve(fields, checkValues(fields, request, "the request"));
  for (const key of required) {
    const value: unknown = options[key];
    if (typeof value !== "string") throw new UsageError(missing[key] as string);
    checkLocal(key, value);
  }
  return options as Required<F, K>;
}

/**
 * The options of a request to compute a Fréchet distance, checked.
 *
 * @param processes - number of processes that divide the work and share it through files; 1 for connected ones
 * @throws UsageError when an option is missing, out of range, or contradicts another
 */
export function fidCalcOptions(
  request: FidCalcRequest,
  processes = 1,
): Required<typeof fidCalcFields, "images" | "ref" | "features"> {
  const options = checked(fidCalcFields, request, ["images", "ref", "features"]);
  const { dest, images, ref, features } = options;
  checkDistinct({ dest }, { images, ref, features });
  if (processes > 1 && dest === null) {
    throw new UsageError("several processes need a 'dest', beside which they share what they computed");
  }
  return options;
}

/**
 * The options of a request for reference statistics, checked.
 *
 * @throws UsageError when an option is missing or out of range, or two name one file
 */
export function fidRefOptions(request: FidRefRequest): Required<typeof fidRefFields, "data" | "dest" | "features"> {
  const options = checked(fidRefFields, request, ["data", "dest", "features"]);
  const { dest, data, features } = options;
  if (!/\.npz$/i.test(dest)) throw new UsageError(`'dest' must name an *.npz file, as statistics are, found ${dest}`);
  checkDistinct({ dest }, { data, features });
  return options;
}
