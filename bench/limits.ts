/** What the machine can do at best: the rate of its matrix products and convolutions. */

import { callOperator, randn, scope, type Tensor } from "@stf/torch";
import type { Precision } from "stf";
import { type Cost, inTurns, median, time } from "./measure.js";

/** A computation that does nothing but multiply and add. */
export interface LimitKind {
  readonly what: string;
  /** Floating-point operations of one run. */
  readonly flops: number;
  /** What runs it, on tensors that live as long as the process. */
  prepare(precision: Precision): () => void;
}

/** A kind in one precision. */
export interface Limit {
  readonly what: string;
  readonly flops: number;
  /** Seconds of the fastest of a few runs. */
  readonly cost: Cost;
}

const dtypes = { fp32: "float32", bf16: "bfloat16" } as const;

const GEMM_SIZE = 1024;
/** Runs of which the fastest counts. */
const REPEATS = 5;

/** A product of large square matrices. */
export const matrixProduct: LimitKind = {
  what: `matrix product of ${GEMM_SIZE}`,
  flops: 2 * GEMM_SIZE ** 3,
  prepare(precision) {
    const values = scope(() => randn([GEMM_SIZE, GEMM_SIZE]).to({ dtype: dtypes[precision] }));
    return () => void values.mm(values);
  },
};

const [BATCH, CHANNELS, SIZE, KERNEL] = [8, 256, 32, 3];

/** Which gradients `convolution_backward` computes: of the input, the weight, the bias. */
const passes = {
  forward: undefined,
  "input gradient": [true, false, false],
  "weight gradient": [false, true, false],
} as const;

/** 3x3 convolutions of 256 channels at 32x32, as U-Nets have many. */
const convolutions = Object.entries(passes).map(
  ([pass, gradients]): LimitKind => ({
    what: `convolution, ${pass}`,
    flops: 2 * BATCH * CHANNELS ** 2 * SIZE ** 2 * KERNEL ** 2,
    prepare(precision) {
      const random = (shape: number[]): Tensor =>
        scope(() => randn(shape).to({ dtype: dtypes[precision], memoryFormat: "channelsLast" }));
      const input = random([BATCH, CHANNELS, SIZE, SIZE]);
      const weight = random([CHANNELS, CHANNELS, KERNEL, KERNEL]);
      // Without a bias; stride, padding, dilation, transposed, output padding and groups.
      const settings = [null, [1, 1], [1, 1], [1, 1], false, [0, 0], 1] as const;
      return gradients
        ? () => void callOperator("aten::convolution_backward", input, input, weight, ...settings, gradients)
        : () => void callOperator("aten::convolution", input, weight, ...settings);
    },
  }),
);

export const limitKinds: readonly LimitKind[] = [matrixProduct, ...convolutions];

/** The limits of this process; tensors are made when they are first needed. */
export class Limits {
  readonly #limits = new Map<string, Limit>();
  readonly #best = new Map<Precision, Promise<Limit>>();

  of({ what: kind, flops, prepare }: LimitKind, precision: Precision): Limit {
    const what = `${kind}, ${precision}`;
    const known = this.#limits.get(what);
    if (known) return known;
    const body = prepare(precision);
    const once = (): number => time(() => scope(body));
    // What the machine can do at best, even while others use it.
    const cost = (): number => Math.min(...Array.from({ length: REPEATS }, once));
    const limit = { what, flops, cost };
    this.#limits.set(what, limit);
    return limit;
  }

  /** The kind with the highest rate in this run. */
  best(precision: Precision): Promise<Limit> {
    const best = this.#best.get(precision) ?? this.#findBest(precision);
    this.#best.set(precision, best);
    return best;
  }

  async #findBest(precision: Precision): Promise<Limit> {
    const limits = limitKinds.map((kind) => this.of(kind, precision));
    const seconds = await inTurns(
      limits.map(({ cost }) => cost),
      { seconds: 2, least: 3, most: 9 },
    );
    const rates = limits.map((limit, i) => ({ limit, rate: limit.flops / median(seconds[i] ?? []) }));
    return rates.reduce((best, next) => (next.rate > best.rate ? next : best)).limit;
  }
}
