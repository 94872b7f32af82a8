/** Feature networks from files that the user has: published ones, and classifiers trained here. */

import { statSync } from "node:fs";
import { basename } from "node:path";
import { type Device, FileFormatError } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { digestOf } from "../common/file-digest.js";
import { abbreviated, isUrl } from "../common/text.js";
import type { FeatureNetwork } from "../features/feature-network.js";
import type { InceptionResize } from "../features/inception.js";
import { isClassifierFile, readClassifier } from "./classifier-file.js";
import { dinov2Of, isDinov2 } from "./dinov2-file.js";
import { kindOfFile } from "./file-kind.js";
import { inceptionOf, isInception } from "./inception-file.js";
import { type StoredWeights, withWeights } from "./stored-weights.js";

/** Options of {@link loadFeatureNetwork}. */
export interface FeatureNetworkOptions {
  /** Where to compute; the CPU by default. */
  readonly device?: Device;
  /** How the Inception network resizes images; as TensorFlow by default. */
  readonly resize?: InceptionResize;
  /** Factor of the channels of a smaller network, for tests. */
  readonly width?: number;
}

/** Published files by their SHA-256. */
const published: Readonly<Record<string, string>> = {
  "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2": "pytorch-fid and torch-fidelity",
  f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4: "NVIDIA, TorchScript",
};

/** A kind of feature network that files may hold. */
interface FeatureFileKind {
  /** Whether a file holds one, judging by the names of its tensors or its metadata. */
  readonly matches: (stored: StoredWeights) => boolean;
  /** Builds it. */
  readonly build: (
    stored: StoredWeights,
    options: FeatureNetworkOptions & { readonly sha256: string },
  ) => FeatureNetwork;
}

const kinds: readonly FeatureFileKind[] = [
  {
    matches: ({ weights }) => isInception(weights),
    build: ({ weights }, options) => inceptionOf(weights, options),
  },
  {
    matches: ({ weights }) => isDinov2(weights),
    build: ({ weights }, options) => dinov2Of(weights, options),
  },
];

/** @throws InputError for what is not a file of weights */
function checkFile(path: string): void {
  if (isUrl(path)) throw new InputError(`${path} must be a file on this machine; download it, and give its path`);
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) throw new InputError(`there is no feature network at ${path}; docs/features.md says where to get one`);
  if (!stat.isFile()) throw new InputError(`${path} is not a file; give the path of the feature network in it`);
  const kind = kindOfFile(path);
  if (kind && !kind.isImportable) throw new InputError(`${path} cannot be a feature network: it is ${kind.words}`);
}

/** The first digits of the checksum, which the published state dict has at the end of its name. */
const NAMED_CHECKSUM = /inception-2015-12-05-([0-9a-f]{8})\./;

/** @throws InputError when the name of a file has another checksum than its content */
function checkNamedChecksum(path: string, sha256: string): void {
  const named = NAMED_CHECKSUM.exec(basename(path))?.[1];
  if (named === undefined || sha256.startsWith(named)) return;
  throw new InputError(
    `${path} is damaged: by its name its SHA-256 begins with ${named}, it is ${sha256.slice(0, 8)}...; download it again`,
  );
}

/**
 * Reads a feature network: the Inception network of Fréchet distances as pytorch-fid's and torch-fidelity's state dict,
 * NVIDIA's TorchScript file or NVIDIA's pickle; a state dict of DINOv2 without registers; or a classifier of
 * `stf features train`. Nothing in the file is executed.
 *
 * @throws InputError or FileFormatError naming the file, when it is missing, damaged, or another network
 */
export async function loadFeatureNetwork(path: string, options: FeatureNetworkOptions = {}): Promise<FeatureNetwork> {
  checkFile(path);
  if (isClassifierFile(path)) return readClassifier(path, options);
  const sha256 = await digestOf(path);
  checkNamedChecksum(path, sha256);
  return withWeights(path, (stored) => {
    const kind = kinds.find(({ matches }) => matches(stored));
    if (!kind) {
      const found = abbreviated([...stored.weights.keys()]);
      throw new InputError(`${path} is not a known feature network: it holds ${found}; docs/features.md lists them`);
    }
    try {
      const network = kind.build(stored, { ...options, sha256 });
      const source = published[sha256];
      return source === undefined ? network : { ...network, title: `${network.title}, as published by ${source}` };
    } catch (cause) {
      if (!(cause instanceof InputError || cause instanceof FileFormatError)) throw cause;
      throw new InputError(`${path} cannot be used: ${cause.message}`, { cause });
    }
  });
}
