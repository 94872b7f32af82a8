/** How images were drawn, as a protocol: stored with sets of images, and with numbers computed from them. */

import { readSafetensorsMetadata } from "@stf/torch";
import type { Snapshot } from "../checkpoints/network-file.js";
import { digestOf } from "../common/file-digest.js";
import { generateFields, samplerOf } from "../config/generate-options.js";
import type { ResolvedGenerate } from "../config/generate-request.js";
import { type Fact, type Facts, isProtocol, type Protocol, stored } from "../run/protocol.js";

/** Files that images are made from: their content counts, not their path. */
const FILES = ["network", "gnet", "image", "mask"] as const;

/** Options that decide nothing about the images of the seeds, or are recorded under another name. */
const ELSEWHERE = ["outdir", "grid", "trajectory", "seeds", "batch", "solver", "notes", ...FILES] as const;

const defaults: Readonly<Record<string, unknown>> = Object.fromEntries(
  Object.entries(generateFields).map(([key, field]) => [key, field.default]),
);

/** The options that determine an image. One with its default value is left out: later versions may add options. */
function drawingFacts(options: Readonly<Record<string, unknown>>): Facts {
  const { sampler, steps, ...others } = options;
  const entries = Object.entries(others).filter(
    ([key, value]) =>
      !(ELSEWHERE as readonly string[]).includes(key) &&
      !(key in defaults && JSON.stringify(value) === JSON.stringify(defaults[key])),
  );
  return { sampler, steps, ...Object.fromEntries(entries) } as Facts;
}

/** Whether an image depends on the others in its batch. */
export function isCoupled(request: ResolvedGenerate): boolean {
  return samplerOf(request) === "rk45" && request.errorControl === "batch";
}

/** "raw" for weights that are no average, as the file says. */
function rawWeights(network: string): { readonly weights?: "raw" } {
  try {
    const training: unknown = JSON.parse(readSafetensorsMetadata(network)["training"] ?? "null");
    return Object(training)["weights"] === "raw" ? { weights: "raw" } : {};
  } catch {
    return {};
  }
}

/** How the images of a request are drawn, except for their seeds. */
export async function drawingProtocol(request: ResolvedGenerate, processes: number): Promise<Protocol> {
  const digests: Record<string, string> = {};
  for (const name of FILES) {
    const path = request[name];
    if (path !== null) digests[`${name}_sha256`] = await digestOf(path);
  }
  const { network_sha256: sha256 = "", ...others } = digests;
  return {
    subject: { network: request.network, network_sha256: sha256 },
    method: {
      drawing: drawingFacts({
        ...request,
        sampler: samplerOf(request),
        // Different generators, and so a different image for a seed.
        device: request.device.startsWith("cuda") ? "cuda" : request.device,
        ...(isCoupled(request) ? { batches: [request.batch, processes] } : {}),
        ...rawWeights(request.network),
        ...others,
      }),
    },
  };
}

/**
 * A protocol from a file, also in the form of earlier versions: all options in one record.
 *
 * @returns undefined if it is neither
 */
export function readDrawingProtocol(content: unknown): Protocol | undefined {
  if (isProtocol(content)) return content;
  const options = Object(content) as Record<string, Fact>;
  const { network, network_sha256: sha256, batch, processes, ...others } = options;
  if (typeof network !== "string" || typeof sha256 !== "string") return undefined;
  const batches = processes === undefined ? {} : { batches: [batch, processes] };
  return stored({
    subject: { network, network_sha256: sha256 },
    method: { drawing: drawingFacts({ ...others, ...batches }) },
  });
}

/** The first fact in which the images of two protocols differ, with both values. */
export function drawingDifference(
  one: Protocol,
  other: Protocol,
): { readonly name: string; readonly there: Fact | undefined; readonly here: Fact | undefined } | undefined {
  const all = ({ subject, method }: Protocol): Facts => ({
    network_sha256: subject["network_sha256"] ?? null,
    ...method["drawing"],
  });
  const [there, here] = [all(stored(one)), all(stored(other))];
  const name = [...new Set([...Object.keys(there), ...Object.keys(here)])].find(
    (key) => JSON.stringify(there[key]) !== JSON.stringify(here[key]),
  );
  if (name === undefined) return undefined;
  const usual = defaults[name] as Fact | undefined;
  return { name, there: there[name] ?? usual, here: here[name] ?? usual };
}

/** The weights of a network, for people: "averaged", or those it is trained with. */
export function weightsOf({ about }: Snapshot): "averaged" | "raw" {
  return about["weights"] === "raw" ? "raw" : "averaged";
}
