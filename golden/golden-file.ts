/** A file of published numbers, which records what was read from it. */

import { basename } from "node:path";
import { loadSafetensors, type SafetensorsContent, type Tensor } from "@stf/torch";

/** The largest deviation and its tolerance. */
export interface Comparison {
  readonly what: string;
  readonly deviation: number;
  readonly tolerance: number;
}

export type Numbers = Tensor | ArrayLike<number>;

const flat = (numbers: Numbers): ArrayLike<number> =>
  "toFloat64Array" in numbers ? numbers.toFloat64Array() : numbers;

/** The largest magnitude; 0 for an empty list. */
export const magnitude = (numbers: Numbers): number =>
  Array.from(flat(numbers)).reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);

/** Python writes infinity as a bare word, which is not JSON, or as a string. */
function parseJson(text: string): unknown {
  const quoted = text.replace(/(?<=[[:,]\s*)-?Infinity\b/g, '"$&"');
  return JSON.parse(quoted, (_, value: unknown) => {
    const sign = typeof value === "string" ? /^(-?)inf(inity)?$/i.exec(value)?.[1] : undefined;
    return sign === undefined ? value : Number(`${sign}Infinity`);
  });
}

export class GoldenFile {
  readonly name: string;
  readonly comparisons: Comparison[] = [];
  readonly #content: SafetensorsContent;
  readonly #read = new Set<string>();

  /** @param name - the file's name in the report */
  constructor(path: string, name = basename(path)) {
    this.name = name;
    this.#content = loadSafetensors(path);
  }

  /** JSON under a name of the file's metadata. @throws Error when it is missing. */
  metadata<T>(name: string): T {
    const text = this.#content.metadata[name];
    if (text === undefined) throw new Error(`its metadata have no "${name}"`);
    return parseJson(text) as T;
  }

  /** Text under a name of the file's metadata, which is not JSON. */
  text(name: string): string | undefined {
    return this.#content.metadata[name];
  }

  /** JSON under a name of the file's metadata, or a default if it is missing. */
  metadataOr<T>(name: string, otherwise: T): T {
    return name in this.#content.metadata ? this.metadata<T>(name) : otherwise;
  }

  get names(): string[] {
    return [...this.#content.tensors.keys()];
  }

  has(name: string): boolean {
    return this.#content.tensors.has(name);
  }

  /** @throws Error when the file has no such tensor. */
  tensor(name: string): Tensor {
    const found = this.#content.tensors.get(name);
    if (!found) throw new Error(`it has no tensor "${name}"`);
    this.#read.add(name);
    return found;
  }

  numbers(name: string): Float64Array {
    return this.tensor(name).toFloat64Array();
  }

  /** The tensors whose names have this prefix, by the rest of the name. */
  under(prefix: string): Map<string, Tensor> {
    const names = this.names.filter((name) => name.startsWith(prefix));
    return new Map(names.map((name) => [name.slice(prefix.length), this.tensor(name)]));
  }

  /** Names that were never read. */
  get unread(): string[] {
    return this.names.filter((name) => !this.#read.has(name));
  }

  /** Records the largest absolute difference. */
  compareAbsolute(what: string, found: Numbers, expected: Numbers, tolerance: number): void {
    this.comparisons.push({ what, deviation: largestDifference(flat(found), flat(expected)), tolerance });
  }

  /** Records the largest difference relative to the largest expected magnitude. */
  compare(what: string, found: Numbers, expected: Numbers, tolerance: number): void {
    const deviation = largestDifference(flat(found), flat(expected)) / (magnitude(expected) || 1);
    this.comparisons.push({ what, deviation, tolerance });
  }

  /** Records the largest difference, each relative to its own scale. */
  compareEach(
    what: string,
    found: Numbers,
    expected: Numbers,
    tolerance: number,
    scaleOf: (expected: number, index: number) => number = (value) => Math.abs(value) || 1,
  ): void {
    const wanted = flat(expected);
    const scales = Array.from(wanted, scaleOf);
    this.comparisons.push({ what, deviation: largestDifference(flat(found), wanted, scales), tolerance });
  }

  /** Comparisons beyond their tolerance. */
  get failed(): Comparison[] {
    return this.comparisons.filter(({ deviation, tolerance }) => !(deviation <= tolerance));
  }

  /** The comparison closest to its tolerance, or furthest beyond; undefined if there was none. */
  get worst(): Comparison | undefined {
    const ratio = ({ deviation, tolerance }: Comparison): number =>
      Number.isNaN(deviation) ? Number.POSITIVE_INFINITY : tolerance === 0 ? deviation : deviation / tolerance;
    return [...this.comparisons].sort((a, b) => ratio(b) - ratio(a))[0];
  }

  dispose(): void {
    for (const tensor of this.#content.tensors.values()) tensor.dispose();
  }
}

/** NaN when there is a NaN on either side. */
function largestDifference(found: ArrayLike<number>, expected: ArrayLike<number>, scales?: ArrayLike<number>): number {
  if (found.length !== expected.length) {
    throw new Error(`there are ${found.length} numbers where ${expected.length} are expected`);
  }
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    // Infinities that agree have no difference.
    if (found[i] === expected[i]) continue;
    const difference = Math.abs((found[i] as number) - (expected[i] as number)) / (scales?.[i] ?? 1);
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}
