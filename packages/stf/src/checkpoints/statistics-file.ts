/** Statistics of features as npz files, as EDM's `fid.py ref` and pytorch-fid write them: `mu` and `sigma`, float64. */

import { statSync } from "node:fs";
import { buffer } from "node:stream/consumers";
import { type Tensor, tensor, writeFileAtomically } from "@stf/torch";
import { ZipFile } from "yazl";
import { npyHeader, npyNumbers, parseNpy } from "../codecs/npy.js";
import { InputError } from "../common/errors.js";
import { openZip } from "../data/zip.js";
import type { FeatureStatistics } from "../metrics/feature-statistics.js";
import { isProtocol, type Protocol } from "../run/protocol.js";

const PROTOCOL = "protocol.json";

/** Statistics read from a file. */
export interface StoredStatistics {
  readonly statistics: FeatureStatistics;
  /** How they were computed; undefined for files of other programs. */
  readonly protocol: Protocol | undefined;
}

/** Whether a file is an npz with statistics, and not one with images. */
export async function holdsStatistics(path: string): Promise<boolean> {
  if (!/\.npz$/i.test(path) || !statSync(path, { throwIfNoEntry: false })?.isFile()) return false;
  const source = await openZip(path);
  source.close();
  return source.paths.includes("mu.npy") || source.paths.includes("sigma.npy");
}

/**
 * Reads statistics.
 *
 * @throws InputError when the file is missing or damaged, or does not hold a mean and a covariance that fit together
 */
export async function readStatistics(path: string): Promise<StoredStatistics> {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) {
    throw new InputError(`there are no statistics at ${path}; 'stf fid ref' computes them`);
  }
  const source = await openZip(path);
  try {
    const array = async (name: string): Promise<{ shape: readonly number[]; values: Float64Array }> => {
      const entry = `${name}.npy`;
      if (!source.paths.includes(entry)) {
        throw new InputError(
          `${path} must hold the statistics 'mu' and 'sigma', found ${source.paths.map((own) => own.replace(/\.npy$/, "")).join(", ") || "nothing"}`,
        );
      }
      const parsed = parseNpy(await source.read(entry), source.nameOf(entry));
      return { shape: parsed.shape, values: npyNumbers(parsed) };
    };
    const [mu, sigma] = [await array("mu"), await array("sigma")];
    const [d = 0] = mu.shape;
    if (mu.shape.length !== 1 || sigma.shape.join() !== [d, d].join()) {
      throw new InputError(
        `${path} must hold 'mu' of shape [d] and 'sigma' of shape [d, d], found [${mu.shape.join(", ")}] and [${sigma.shape.join(", ")}]`,
      );
    }
    if (![mu, sigma].every(({ values }) => values.every(Number.isFinite))) {
      throw new InputError(`${path} must hold finite numbers, found NaN or infinity; compute it again`);
    }
    const text = source.paths.includes(PROTOCOL) ? new TextDecoder().decode(await source.read(PROTOCOL)) : "null";
    const protocol: unknown = JSON.parse(text);
    return {
      statistics: {
        count: isProtocol(protocol) ? Number(protocol.method["reference"]?.["count"]) : undefined,
        mean: tensor(mu.values, { shape: [d] }),
        covariance: tensor(sigma.values, { shape: [d, d] }),
      },
      protocol: isProtocol(protocol) ? protocol : undefined,
    };
  } finally {
    source.close();
  }
}

const EPOCH = new Date("1980-01-01T00:00:00");
const STORED = { compress: false, mtime: EPOCH, mode: 0o100644, forceDosTimestamp: true } as const;

/** The file of an array, float64. */
function npyOf(values: Tensor): Buffer {
  const numbers = values.toFloat64Array();
  const bytes = Buffer.from(numbers.buffer, numbers.byteOffset, numbers.byteLength);
  return Buffer.concat([npyHeader("float64", values.shape), bytes]);
}

/**
 * Writes statistics; the file appears under its name only when complete.
 *
 * @throws errors of the file system, such as a full disk
 */
export async function writeStatistics(
  path: string,
  { mean, covariance }: FeatureStatistics,
  protocol: Protocol,
): Promise<void> {
  const zip = new ZipFile();
  zip.addBuffer(npyOf(mean), "mu.npy", STORED);
  zip.addBuffer(npyOf(covariance), "sigma.npy", STORED);
  zip.addBuffer(Buffer.from(JSON.stringify(protocol)), PROTOCOL, STORED);
  zip.end();
  writeFileAtomically(path, await buffer(zip.outputStream));
}
