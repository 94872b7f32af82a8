/** Golden files that tests write: folders of them, small networks with weights of their own, and what a check finds. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  enableGrad,
  Generator,
  grad,
  loadSafetensors,
  noGrad,
  randn,
  saveSafetensors,
  scope,
  type Tensor,
  tensor,
} from "@stf/torch";
import type { Denoiser } from "stf";
import { examine, placeOf } from "../golden/checks.js";
import { denoiserFrom, type PublishedConfig } from "../golden/published-network.js";

/** Tensors by name; numbers are a float64 tensor of one axis. */
export type Content = Readonly<Record<string, Tensor | ArrayLike<number>>>;

/** As Python writes it: infinity is a bare word. */
function textsOf(metadata: Readonly<Record<string, unknown>>): Record<string, string> {
  const named = (_: string, value: unknown): unknown => (value === Number.POSITIVE_INFINITY ? "Infinity" : value);
  const text = (value: unknown): string => JSON.stringify(value, named).replaceAll('"Infinity"', "Infinity");
  return Object.fromEntries(Object.entries(metadata).map(([key, value]) => [key, text(value)]));
}

/** A new folder of golden files. */
export class GoldenFolder {
  readonly path = mkdtempSync(join(tmpdir(), "stf-golden-"));

  write(name: string, content: Content, metadata: Readonly<Record<string, unknown>>): void {
    this.#save(name, content, textsOf(metadata));
  }

  /** The same file with tensors or entries of its metadata changed. */
  change(name: string, content: Content, metadata: Readonly<Record<string, unknown>> = {}): void {
    const old = loadSafetensors(join(this.path, name));
    this.#save(name, { ...Object.fromEntries(old.tensors), ...content }, { ...old.metadata, ...textsOf(metadata) });
    for (const value of old.tensors.values()) value.dispose();
  }

  #save(name: string, content: Content, texts: Readonly<Record<string, string>>): void {
    scope(() => {
      const tensors = Object.entries(content).map(([key, value]) => {
        return [key, "toFloat64Array" in value ? value.contiguous() : numbers(Array.from(value))] as const;
      });
      saveSafetensors(join(this.path, name), new Map(tensors), texts);
    });
  }

  /** What is beyond its tolerance, or why the file cannot be used. A check takes gradients where it needs them. */
  failures(name: string): string[] {
    const examined = enableGrad(() => examine(name, placeOf(this.path)));
    if (!("file" in examined)) return [JSON.stringify(examined)];
    const { failed, comparisons } = examined.file;
    examined.file.dispose();
    if (comparisons.length === 0) throw new Error("nothing was compared");
    return failed.map(({ what }) => what);
  }

  dispose(): void {
    rmSync(this.path, { recursive: true });
  }
}

/** Files of the tests of packages/stf, most of them from the published implementations. */
export const publishedFile = (name: string): string =>
  fileURLToPath(new URL(`../packages/stf/test/golden/${name}`, import.meta.url));

/** The body of a test whose tensors are freed, without gradients being recorded. */
export const scoped = (body: () => void) => (): void => noGrad(() => scope(body));

/** float64, of one axis unless a shape is given. */
export const numbers = (values: readonly number[], shape: readonly number[] = [values.length]): Tensor =>
  tensor(Float64Array.from(values), { shape });

/** Standard normal numbers in float32. */
export function normals(shape: readonly number[], seed: number): Tensor {
  using generator = new Generator(seed);
  return randn(shape, { generator });
}

/** A network of a published configuration with weights that all show in its output. */
export function networkOf(config: PublishedConfig, seed: number): Denoiser {
  using generator = new Generator(seed);
  const denoiser = denoiserFrom(config);
  noGrad(() =>
    scope(() => {
      for (const [, parameter] of denoiser.namedParameters()) {
        parameter.copy_(randn(parameter.shape, { generator }).mul(0.3));
      }
    }),
  );
  return denoiser;
}

/** What a file has of a network: weights, an input with its conditions, outputs, and the gradient of their mean square. */
export function networkContent(
  denoiser: Denoiser,
  shape: readonly number[],
  seed: number,
  conditions: { labels?: Tensor; augmentLabels?: Tensor } = {},
): Record<string, Tensor> {
  const [count = 0] = shape;
  const sigma = Float64Array.from({ length: count }, (_, i) => 0.2 * 4 ** i);
  const x = normals(shape, seed).mul(2);
  const { labels, augmentLabels } = conditions;
  const leaf = x.clone().requiresGrad_();
  const [gradient] = enableGrad(() => grad([denoiser.forward(leaf, sigma, conditions).square().mean()], [leaf]));
  return {
    ...Object.fromEntries(denoiser.stateDict()),
    ...(labels && { class_labels: labels }),
    ...(augmentLabels && { augment_labels: augmentLabels }),
    x,
    sigma: tensor(sigma),
    D: denoiser.forward(x, sigma, conditions),
    D_float64: denoiser.forward(x.double(), sigma, {
      labels: labels?.double(),
      augmentLabels: augmentLabels?.double(),
    }),
    "grad.x": gradient as Tensor,
  };
}
