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

/** Rounding, float32's included, of a covariance, in units of its largest variance. */
const COVARIANCE_ROUNDING = 1e-4;

/** What keeps a matrix `[d, d]` from being a covariance, in words; undefined if nothing does that shows without a decomposition. */
function flawOf(sigma: Float64Array, d: number): string | undefined {
  const at = (i: number, j: number): number => sigma[i * d + j] as number;
  const variances = Array.from({ length: d }, (_, i) => at(i, i));
  const rounding = COVARIANCE_ROUNDING * variances.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (const [i, variance] of variances.entries()) {
    if (variance < -rounding) return `a variance of ${variance}`;
    for (let j = 0; j < i; j++) {
      const [one, other] = [at(i, j), at(j, i)];
      if (Math.abs(one - other) > rounding) return `${one} at [${i}, ${j}] and ${other} at [${j}, ${i}]`;
      // |covariance|² <= the product of the variances.
      const most = Math.sqrt(Math.max(variance, 0) * Math.max(variances[j] as number, 0));
      if (Math.abs(one) > most + rounding) return `${one} at [${i}, ${j}] between variances that allow ${most}`;
    }
  }
  return undefined;
}

/** A protocol in a file; undefined if there is none that can be read, as in files of other programs. */
function parseProtocol(text: string): Protocol | undefined {
  try {
    const protocol: unknown = JSON.parse(text);
    return isProtocol(protocol) ? protocol : undefined;
  } catch {
    return undefined;
  }
}

/** Number of images that a protocol states. */
function countOf(protocol: Protocol | undefined): number | undefined {
  const count = protocol?.method["reference"]?.["count"];
  return typeof count === "number" && Number.isInteger(count) && count >= 2 ? count : undefined;
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
    const flaw = flawOf(sigma.values, d);
    if (flaw !== undefined) {
      throw new InputError(
        `${path} must hold a covariance in 'sigma', symmetric and without negative variances, found ${flaw}; compute it again`,
      );
    }
    const protocol = source.paths.includes(PROTOCOL)
      ? parseProtocol(new TextDecoder().decode(await source.read(PROTOCOL)))
      : undefined;
    return {
      statistics: {
        count: countOf(protocol),
        mean: tensor(mu.values, { shape: [d] }),
        covariance: tensor(sigma.values, { shape: [d, d] }),
      },
      protocol,
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
