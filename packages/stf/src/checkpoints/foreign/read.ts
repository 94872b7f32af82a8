/** Finds the network in a file of any known format, and reads its tensors. */

import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
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
import { abbreviated, isUrl } from "../../common/text.js";
import type { NetworkConfig } from "../../networks/build.js";
import type { Preconditioning } from "../../preconditioning/preconditioning.js";
import { kindOfFile } from "../file-kind.js";
import { dividedTensors } from "../stored-analytic.js";
import { storedPreconditioning } from "../stored-config.js";
import { metadataField } from "../stored-file.js";
import { averagesBeside, type Candidate, labelOf, networksAmong } from "./candidates.js";
import { type StoredCandidate, searchNetworks } from "./search.js";
import {
  type Construction,
  describe,
  lossBeside,
  mapOf,
  networkIn,
  type StoredLoss,
  type StoredNetwork,
} from "./stored-network.js";

/** Which of a file's networks: the averaged one, the one being trained, or the averaged one if there is one. */
export type Which = "auto" | "ema" | "net";

/** The network in a file, as stored. */
export interface Checkpoint {
  /** Kind of the file. */
  readonly format: string;
  /** The tensors of the network, by name. The caller disposes of them. */
  readonly tensors: Map<string, Tensor>;
  /** The name of the network inside the file; undefined when the file holds nothing else. */
  readonly part?: string | undefined;
  /** Other contents of the file, which were not read. */
  readonly skipped: readonly string[];
  /** The class of the network and its constructor's arguments; undefined for a plain dictionary of tensors. */
  readonly construction?: Construction | undefined;
  /** The loss function that it was trained with, if the file has it. */
  readonly loss?: StoredLoss | undefined;
  /** Whether it is a network snapshot of this program. */
  readonly isSnapshot?: boolean;
  /** The preconditioning of such a snapshot. */
  readonly preconditioning?: Preconditioning | undefined;
  /** The configuration of such a snapshot's network. */
  readonly config?: NetworkConfig | undefined;
}

const names = {
  ema: ["ema", "model_ema", "ema_model"],
  net: ["net", "model", "state_dict", "model_state_dict"],
} as const;

interface Found extends StoredNetwork {
  readonly part?: string;
  readonly skipped: readonly string[];
}

/** The other entries of a file, each with a short description. */
function named(entries: readonly [PickleValue, PickleValue][]): string[] {
  return entries.filter(([, value]) => value !== null).map(([name, value]) => `${describe(name)} (${describe(value)})`);
}

/** @throws InputError or UsageError listing what the file has instead */
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
  throw new InputError(`${path} must hold a network, found ${content.join(", ") || "nothing"}`);
}

/** A small file could fill any memory with tensors that share their elements. */
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
  program: "TorchScript program",
} as const satisfies Record<TorchContent["format"], string>;

function readTensors(stored: ReadonlyMap<string, StoredTensor>, fileSize: number): Map<string, Tensor> {
  checkSize(stored, fileSize);
  const tensors = new Map<string, Tensor>();
  try {
    for (const [name, tensor] of stored) tensors.set(name, tensor.toTensor());
    return tensors;
  } catch (error) {
    for (const tensor of tensors.values()) tensor.dispose();
    throw error;
  }
}

function readTorch(path: string, which: Which): Checkpoint {
  return withTorchFile(path, ({ format, value, size }) => {
    const { tensors, part, skipped, construction } = select(path, value, which);
    const loss = lossBeside(value);
    return { format: formats[format], tensors: readTensors(tensors, size), part, skipped, construction, loss };
  });
}

/** The requested one of several networks. @throws UsageError if the file lacks it, or has it in an unsupported form */
function chooseNetwork<C extends Candidate>(
  path: string,
  networks: readonly C[],
  unread: readonly string[],
  which: Which,
): C {
  const averaged = networks.find(({ isAveraged }) => isAveraged);
  const trained = networks.find(({ isAveraged }) => !isAveraged);
  const found = which === "net" ? trained : averaged;
  if (found) return found;
  if (which !== "net" && unread.length > 0) {
    throw new UsageError(
      `${path} has an average of the weights in an unsupported form (${abbreviated(unread)}); save the averaged network's state_dict(), or import the weights being trained with 'which=net'`,
    );
  }
  // A single network was saved by someone who may know more about it than the file does.
  const isAlone = networks.length === 1 && labelOf(networks[0] as C) === undefined;
  if (trained && (which === "auto" || isAlone)) return trained;
  const labels = networks.map(
    (network) => labelOf(network) ?? (network.isAveraged ? "only an average" : "one network"),
  );
  throw new UsageError(`'which=${which}' must name a network of ${path}, which has ${labels.join(", ")}`);
}

/** The other tensors of a network's dictionary. */
const listed = (others: readonly string[]): string[] =>
  others.length > 0
    ? [`${others.length} other ${others.length === 1 ? "tensor" : "tensors"} (${abbreviated(others)})`]
    : [];

function readTorchNetwork(path: string, which: Which): NetworkCheckpoint | undefined {
  return withTorchFile(path, ({ format, value, size }) => {
    const { networks, unread } = searchNetworks(value);
    if (networks.length === 0) return undefined;
    const found = chooseNetwork(path, networks, unread, which);
    return { ...describedNetwork(found, value), format: formats[format], tensors: readTensors(found.tensors, size) };
  });
}

/** Facts about a network in a PyTorch file. */
function describedNetwork(found: StoredCandidate, root: PickleValue): Omit<NetworkCheckpoint, "format" | "tensors"> {
  const [top] = found.place;
  const entries = [...(mapOf(root) ?? [])].filter(
    ([key, entry]) => describe(key) !== top && !(entry instanceof StoredTensor),
  );
  const { construction, isAveraged, others } = found;
  return {
    part: labelOf(found),
    skipped: [...named(entries), ...listed(others)],
    construction,
    loss: lossBeside(root),
    isAveraged,
  };
}

function readSafetensorsNetwork(path: string, which: Which): NetworkCheckpoint | undefined {
  const { tensors } = loadSafetensors(path);
  const kept = new Set<Tensor>();
  try {
    const networks = networksAmong(tensors);
    if (networks.length === 0) return undefined;
    const found = chooseNetwork(path, networks, averagesBeside(tensors, networks), which);
    for (const tensor of found.tensors.values()) kept.add(tensor);
    const { isAveraged } = found;
    return {
      format: "safetensors",
      tensors: new Map(found.tensors),
      part: labelOf(found),
      skipped: listed(found.others),
      isAveraged,
    };
  } finally {
    for (const tensor of tensors.values()) if (!kept.has(tensor)) tensor.dispose();
  }
}

/** A network from a file, and whether the file calls it an average. */
export interface NetworkCheckpoint extends Checkpoint {
  /** Undefined for a snapshot of this program, which is always an average. */
  readonly isAveraged?: boolean | undefined;
}

/**
 * Reads one network of a file, and nothing else, under the published names: without the prefixes of compilers, parallel training
 * and training frameworks. A file without a known network is read as {@link readCheckpoint} does.
 *
 * @throws InputError or FileFormatError naming the file, when it cannot be read or holds no network; UsageError when `which`
 * names a network that it lacks, or it has an average in an unsupported form
 */
export function readNetwork(path: string, which: Which = "auto"): NetworkCheckpoint {
  checkFile(path);
  if (!isSafetensors(path)) return readTorchNetwork(path, which) ?? readCheckpoint(path, which);
  const { isSnapshot = false } = describeSafetensors(path);
  return (isSnapshot ? undefined : readSafetensorsNetwork(path, which)) ?? readCheckpoint(path, which);
}

/** Facts about the network of a safetensors file, besides its tensors. */
function describeSafetensors(path: string): Pick<Checkpoint, "isSnapshot" | "preconditioning" | "config"> {
  const metadata = readSafetensorsMetadata(path);
  const { format, network } = metadata;
  if (format?.startsWith("stf-training-state")) {
    throw new InputError(`${path} is a training state: resume from it with 'resume', or give a network snapshot`);
  }
  if (format?.startsWith("stf-averages")) {
    throw new InputError(`${path} is a pair of averages: make a network snapshot of it with stf ema`);
  }
  if (format?.startsWith("stf-network") !== true) return { isSnapshot: false };
  const config = metadataField(path, metadata, "network") as NetworkConfig;
  return { isSnapshot: true, preconditioning: storedPreconditioning(path, network), config };
}

function readSafetensors(path: string): Checkpoint {
  const description = describeSafetensors(path);
  const { tensors } = loadSafetensors(path);
  if (!description.isSnapshot) return { format: "safetensors", tensors, skipped: [], ...description };
  // An analytic denoiser describes the images of its training.
  const { network, analytic } = dividedTensors(tensors);
  for (const tensor of analytic.values()) tensor.dispose();
  const skipped = analytic.size === 0 ? [] : ["the analytic denoiser of its images"];
  return { format: "network snapshot", tensors: network, skipped, ...description };
}

/**
 * Reads the network in a file as stored: a snapshot of this program, safetensors, PyTorch's two formats, or a pickle.
 * Nothing in the file is executed.
 *
 * @throws InputError or FileFormatError naming the file, when it cannot be read or holds no network; UsageError when `which`
 * names a network that it lacks
 */
export function readCheckpoint(path: string, which: Which = "auto"): Checkpoint {
  checkFile(path);
  return isSafetensors(path) ? readSafetensors(path) : readTorch(path, which);
}

/** @throws InputError when the file does not exist */
function checkFile(path: string): void {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat && isUrl(path)) {
    throw new InputError(`${path} must be a file on this machine; download it, and give its path`);
  }
  if (!stat) throw new InputError(`there is no file at ${path}`);
  if (existsSync(join(path, "model_index.json"))) {
    throw new InputError(`${path} is a diffusers pipeline, whose networks differ from EDM's and cannot be imported`);
  }
  if (!stat.isFile()) throw new InputError(`${path} is not a file; give the path of the checkpoint in it`);
  const kind = kindOfFile(path);
  if (kind && !kind.isImportable) {
    throw new InputError(`${path} cannot be imported: it is ${kind.words}`);
  }
}
