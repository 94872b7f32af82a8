/** What the files of this program have in common: safetensors with tensors under published names, and metadata that say what they are. */

import { existsSync, statSync } from "node:fs";
import { FileFormatError, loadSafetensors } from "@stf/torch";
import { InputError } from "../common/errors.js";

/** The format of a network snapshot, as its metadata name it. */
export const NETWORK_FORMAT = "stf-network-1";

/** The format of a training state, as its metadata name it. */
export const STATE_FORMAT = "stf-training-state-1";

/** A metadata entry that holds JSON. @throws FileFormatError naming the file, when it is missing or damaged */
export function metadataField(path: string, metadata: Readonly<Record<string, string>>, name: string): unknown {
  try {
    return JSON.parse(metadata[name] ?? "");
  } catch (cause) {
    throw new FileFormatError(`${path} cannot be read: its "${name}" is missing or damaged`, { cause });
  }
}

/**
 * Reads a file of one of our formats.
 *
 * @param what - what the format is called in messages
 * @throws InputError when there is no such file, or it is another one; FileFormatError when it is damaged or no safetensors file
 */
export function openStored(path: string, format: string, what: string): ReturnType<typeof loadSafetensors> {
  if (!existsSync(path)) throw new InputError(`there is no ${what} at ${path}`);
  if (statSync(path).isDirectory()) throw new InputError(`${path} is a folder; name the ${what} in it`);
  if (/\.(pkl|pt|pth)$/i.test(path)) {
    throw new InputError(
      `${path} was made elsewhere; turn it into a network snapshot: npx stf import ${path} --dest=network.safetensors`,
    );
  }
  const content = loadSafetensors(path);
  const { format: found } = content.metadata;
  if (found !== format) {
    for (const tensor of content.tensors.values()) tensor.dispose();
    throw new InputError(
      `${path} is no ${what} of this program: its format must be "${format}", found ${found ? `"${found}"` : "none"}`,
    );
  }
  return content;
}
