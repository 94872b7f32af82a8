/** Finds the network in a file of any known format, and reads its tensors. */

import { statSync } from "node:fs";
import {
  FileFormatError,
  isSafetensors,
  loadSafetensors,
  type PickleValue,
  readSafetensorsMetadata,
  StoredTensor,
  type Tensor,
  type TorchContent,
  withTorchFile,
} from "@stf/torch";
import { InputError, UsageError } from "../../common/errors.js";
import type { Preconditioning } from "../../preconditioning/preconditioning.js";
import { storedPreconditioning } from "../stored-config.js";
import { type Construction, describe, mapOf, networkIn, type StoredNetwork } from "./stored-network.js";

/** Which of a file's networks: the averaged one, the one being trained, or the averaged one if there is one. */
export type Which = "auto" | "ema" | "net";

/** The network in a file, as it lies there. */
export interface Checkpoint {
  /** What kind of file it is. */
  readonly format: string;
  /** The tensors of the network, by name. Whoever reads a checkpoint disposes of them. */
  readonly tensors: Map<string, Tensor>;
  /** The name of the network inside the file; undefined when the file holds nothing else. */
  readonly part?: string | undefined;
  /** What else the file holds, and was not read. */
  readonly skipped: readonly string[];
  /** The class of the network and its constructor's arguments; undefined for a plain dictionary of tensors. */
  readonly construction?: Construction | undefined;
  /** Whether it is a network snapshot of this program. */
  readonly isSnapshot?: boolean;
  /** That of such a snapshot. */
  readonly preconditioning?: Preconditioning | undefined;
}

const names = {
  ema: ["ema", "model_ema", "ema_model"],
  net: ["net", "model", "state_dict", "model_state_dict"],
} as const;

interface Found extends StoredNetwork {
  readonly part?: string;
  readonly skipped: readonly string[];
}

/** What is there beside the network, each with a word on what it is. */
function named(entries: readonly [PickleValue, PickleValue][]): string[] {
  return entries.filter(([, value]) => value !== null).map(([name, value]) => `${describe(name)} (${describe(value)})`);
}

/** @throws InputError or UsageError naming what the file has instead */
function select(path: string, root: PickleValue, which: Which): Found {
  const entries = mapOf(root);
  const wanted = which === "auto" ? [...names.ema, ...names.net] : names[which];
  for (const part of wanted) {
    const value = entries?.get(part);
    const network = value === undefined ? undefined : networkIn(value);
    if (!network) continue;
    const others = [...(entries ?? [])].filter(([name]) => name !== part);
    return { ...network, part, skipped: named(others) };
  }
  const network = networkIn(root);
  if (network) {
    const others = [...(entries ?? [])].filter(([, other]) => !(other instanceof StoredTensor));
    return { ...network, skipped: named(others) };
  }
  const content = entries ? named([...entries]).slice(0, 8) : [describe(root)];
  const elsewhere = which !== "auto" && names[which === "ema" ? "net" : "ema"].some((name) => entries?.has(name));
  if (elsewhere) {
    throw new UsageError(`'which=${which}' must name a network of ${path}, which has ${content.join(", ")}`);
  }
  throw new InputError(`${path} holds no network: found ${content.join(", ") || "nothing"}`);
}

/** Tensors that share their elements could be made to fill any memory from a small file. */
function checkSize(tensors: ReadonlyMap<string, StoredTensor>, fileSize: number): void {
  let total = 0;
  for (const tensor of tensors.values()) total += tensor.byteLength;
  if (total > 2 * fileSize) {
    throw new FileFormatError(`its network has ${total} bytes of tensors in a file of ${fileSize}`);
  }
}

const formats = {
  zip: "PyTorch file (zip)",
  legacy: "PyTorch file (before 1.6)",
  pickle: "pickle",
} as const satisfies Record<TorchContent["format"], string>;

function readTorch(path: string, which: Which): Checkpoint {
  return withTorchFile(path, ({ format, value, size }) => {
    const { tensors: stored, part, skipped, construction } = select(path, value, which);
    checkSize(stored, size);
    const tensors = new Map<string, Tensor>();
    try {
      for (const [name, tensor] of stored) tensors.set(name, tensor.toTensor());
    } catch (error) {
      for (const tensor of tensors.values()) tensor.dispose();
      throw error;
    }
    return { format: formats[format], tensors, part, skipped, construction };
  });
}

/** What a file of safetensors says of its network beside the tensors. */
function describeSafetensors(path: string): Pick<Checkpoint, "isSnapshot" | "preconditioning"> {
  const { format, network } = readSafetensorsMetadata(path);
  if (format?.startsWith("stf-training-state")) {
    throw new InputError(`${path} is a training state: go on from it with 'resume', or name a network-snapshot`);
  }
  const isSnapshot = format?.startsWith("stf-network") === true;
  return { isSnapshot, preconditioning: isSnapshot ? storedPreconditioning(path, network) : undefined };
}

function readSafetensors(path: string): Checkpoint {
  const { isSnapshot = false, preconditioning } = describeSafetensors(path);
  const { tensors } = loadSafetensors(path);
  return { format: isSnapshot ? "network snapshot" : "safetensors", tensors, skipped: [], isSnapshot, preconditioning };
}

/**
 * Reads the network in a file: a snapshot of this program, safetensors, PyTorch's two formats, or a pickle. Nothing in the
 * file is executed.
 *
 * @throws InputError or FileFormatError naming the file, when it cannot be read or holds no network; UsageError when `which`
 * names a network that it lacks
 */
export function readCheckpoint(path: string, which: Which = "auto"): Checkpoint {
  checkFile(path);
  return isSafetensors(path) ? readSafetensors(path) : readTorch(path, which);
}

/**
 * What {@link readCheckpoint} would say of the preconditioning, without reading a tensor.
 *
 * @throws as that
 */
export function describeCheckpoint(path: string): Pick<Checkpoint, "preconditioning" | "construction"> {
  checkFile(path);
  if (isSafetensors(path)) return describeSafetensors(path);
  return withTorchFile(path, ({ value }) => ({ construction: select(path, value, "auto").construction }));
}

/** @throws InputError when there is no such file */
function checkFile(path: string): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) throw new InputError(`there is no file at ${path}`);
  if (!stat.isFile()) throw new InputError(`${path} is no file; name the checkpoint inside it`);
}
