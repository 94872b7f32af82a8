/** The common format of this program's files: safetensors with tensors under published names, and metadata that identify them. */

import { statSync } from "node:fs";
import { FileFormatError, isSafetensors, loadSafetensors } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { isUrl } from "../common/text.js";
import { kindOfFile } from "./file-kind.js";

/** The format of a network snapshot, as named in its metadata. */
export const NETWORK_FORMAT = "stf-network-1";

/** The format of a training state, as named in its metadata. */
export const STATE_FORMAT = "stf-training-state-1";

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
  [FEATURES_FORMAT]: "a classifier for features",
};

/** What to name where a format is expected. */
const wanted: Readonly<Record<string, string>> = {
  [NETWORK_FORMAT]: "name one of the network snapshots, network-snapshot-*.safetensors",
  [STATE_FORMAT]: "name one of the training states, training-state-*.safetensors",
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
  if (format === FEATURES_FORMAT) {
    return `${path} is not a ${what}, it is ${words} of another program; ${wanted[FEATURES_FORMAT]}`;
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
  const { format: found } = content.metadata;
  if (found !== format) {
    for (const tensor of content.tensors.values()) tensor.dispose();
    if (found !== undefined && Object.hasOwn(ownFormats, found)) {
      throw new InputError(`${path} is ${ownFormats[found]}: ${wanted[format]}`);
    }
    if (found?.startsWith("stf-")) {
      throw new InputError(
        `${path} has the format "${found}" of another version of this program, expected "${format}"`,
      );
    }
    throw new InputError(madeElsewhere(path, "a safetensors file", format, what));
  }
  return content;
}
