/** The common format of this program's files: safetensors with tensors under published names, and metadata that identify them. */

import { statSync } from "node:fs";
import { FileFormatError, isSafetensors, loadSafetensors, readSafetensorsMetadata } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { isUrl } from "../common/text.js";
import { kindOfFile } from "./file-kind.js";

/** The format of a network snapshot, as named in its metadata. */
export const NETWORK_FORMAT = "stf-network-1";

/** The format of a training state, as named in its metadata. */
export const STATE_FORMAT = "stf-training-state-1";

/** The format of the averages of a run, as named in its metadata. */
export const AVERAGES_FORMAT = "stf-averages-1";

/** The format of a classifier that describes images by features, as named in its metadata. */
export const FEATURES_FORMAT = "stf-features-1";

/** A metadata entry that holds JSON. @throws FileFormatError naming the file, when it is missing or damaged */
export function metadataField(path: string, metadata: Readonly<Record<string, string>>, name: string): unknown {
  try {
    return JSON.parse(metadata[name] ?? "");
  } catch (cause) {
    throw new FileFormatError(`${path} cannot be read: its "${name}" is missing or damaged`, { cause });
  }
}

/** Our own formats, for messages when one is mistaken for another. */
const ownFormats: Readonly<Record<string, string>> = {
  [NETWORK_FORMAT]: "a network snapshot",
  [STATE_FORMAT]: "a training state",
  [AVERAGES_FORMAT]: "a pair of averages, from which stf ema makes network snapshots",
  [FEATURES_FORMAT]: "a classifier for features",
};

/** What to name where a format is expected. */
const wanted: Readonly<Record<string, string>> = {
  [NETWORK_FORMAT]: "name one of the network snapshots, network-snapshot-*.safetensors",
  [STATE_FORMAT]: "name one of the training states, training-state-*.safetensors",
  [AVERAGES_FORMAT]: "name averages of a run, averages-*.safetensors",
  [FEATURES_FORMAT]: 'name a file that "stf features train" wrote',
};

/** @throws InputError for files that do not exist, or are not ours */
function checkKind(path: string, format: string, what: string): void {
  if (isUrl(path)) {
    throw new InputError(`${path} must be a file on this machine; download it, and give its path`);
  }
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) throw new InputError(`there is no ${what} at ${path}`);
  if (stat.isDirectory()) throw new InputError(`${path} is a folder; name the ${what} in it`);
  if (isSafetensors(path)) return;
  const kind = kindOfFile(path);
  if (kind?.isImportable) throw new InputError(madeElsewhere(path, kind.words, format, what));
  if (kind) throw new InputError(`${path} is not a ${what}, it is ${kind.words}`);
}

function madeElsewhere(path: string, words: string, format: string, what: string): string {
  if (format === FEATURES_FORMAT || format === AVERAGES_FORMAT) {
    return `${path} is not a ${what}, it is ${words} of another program; ${wanted[format]}`;
  }
  return `${path} comes from another program, it is ${words}; convert it to a network snapshot: npx stf import ${path} --dest=network.safetensors`;
}

/**
 * Reads a file of one of our formats.
 *
 * @param what - name of the format in messages
 * @throws InputError when the file does not exist, or is of another kind; FileFormatError when it is damaged or not a safetensors file
 */
export function openStored(path: string, format: string, what: string): ReturnType<typeof loadSafetensors> {
  checkKind(path, format, what);
  const content = loadSafetensors(path);
  try {
    checkFormat(path, content.metadata["format"], format, what);
  } catch (error) {
    for (const tensor of content.tensors.values()) tensor.dispose();
    throw error;
  }
  return content;
}

/** The metadata of a file of one of our formats, without reading its tensors. @throws as {@link openStored} */
export function storedMetadata(path: string, format: string, what: string): Readonly<Record<string, string>> {
  checkKind(path, format, what);
  const metadata = readSafetensorsMetadata(path);
  checkFormat(path, metadata["format"], format, what);
  return metadata;
}

/** @throws InputError when a safetensors file has another format than expected */
function checkFormat(path: string, found: string | undefined, format: string, what: string): void {
  if (found === format) return;
  if (found !== undefined && Object.hasOwn(ownFormats, found)) {
    throw new InputError(`${path} is ${ownFormats[found]}: ${wanted[format]}`);
  }
  if (found?.startsWith("stf-")) {
    throw new InputError(`${path} has the format "${found}" of another version of this program, expected "${format}"`);
  }
  throw new InputError(madeElsewhere(path, "a safetensors file", format, what));
}
