/** The limits of the machine: the rates of its matrix products and convolutions. */

import { allowTf32, callOperator, type Device, randn, scope, type Tensor } from "@stf/torch";
import type { Precision } from "stf";
import { type Cost, inTurns, median } from "./measure.js";
import type { Place } from "./place.js";

/** A computation that only multiplies and adds. */
export interface LimitKind {
  readonly what: string;
  /** Floating-point operations of one run. */
  readonly flops: number;
  /** Prepares it, on tensors that live as long as the process. */
  prepare(precision: Precision, device: Device): () => void;
}

/** A kind in one precision. */
export interface Limit {
  readonly what: string;
  readonly flops: number;
  /** Seconds of the fastest of several runs. */
  readonly cost: Cost;
}

const dtypes = { fp32: "float32", tf32: "float32", bf16: "bfloat16", fp16: "float16" } as const;

/** Number of runs, of which the fastest counts. */
const REPEATS = 5;

/** A product of square matrices. Not in TF32, which is never used for matrix products here. */
const productOf = (size: number): LimitKind => ({
  what: `matrix product of ${size}`,
  flops: 2 * size ** 3,
  prepare(precision, device) {
    const values = scope(() => randn([size, size], { device }).to({ dtype: dtypes[precision] }));
    return () => void values.mm(values);
  },
});

const [CHANNELS, SIZE, KERNEL] = [256, 32, 3];

/** Which gradients `convolution_backward` computes: of the input, the weight, the bias. */
const passes = {
  forward: undefined,
  "input gradient": [true, false, false],
  "weight gradient": [false, true, false],
} as const;

/** 3x3 convolutions of 256 channels at 32x32, typical of U-Nets. */
const convolution = (pass: keyof typeof passes, batch: number): LimitKind => {
  const gradients = passes[pass];
  return {
    what: `convolution, ${pass}`,
    flops: 2 * batch * CHANNELS ** 2 * SIZE ** 2 * KERNEL ** 2,
    prepare(precision, device) {
      // cuDNN convolves channels_last images slowly in float32 unless it may round to TF32.
      const memoryFormat = precision === "fp32" && device !== "cpu" ? "contiguous" : "channelsLast";
      const random = (shape: number[]): Tensor =>
        scope(() => randn(shape, { device }).to({ dtype: dtypes[precision], memoryFormat }));
      const input = random([batch, CHANNELS, SIZE, SIZE]);
      const weight = random([CHANNELS, CHANNELS, KERNEL, KERNEL]);
      // Without a bias; stride, padding, dilation, transposed, output padding and groups.
      const settings = [null, [1, 1], [1, 1], [1, 1], false, [0, 0], 1] as const;
      return () => {
        allowTf32(precision === "tf32");
        if (gradients) callOperator("aten::convolution_backward", input, input, weight, ...settings, gradients);
        else callOperator("aten::convolution", input, weight, ...settings);
      };
    },
  };
};

/** Large enough for the device to be busy, small enough for many runs. */
const sizes = { cpu: { product: 1024, batch: 8 }, gpu: { product: 8192, batch: 128 } } as const;

/** The limit for computations that only multiply matrices. */
export const matrixProductOn = ({ isGpu }: Place): LimitKind => productOf(sizes[isGpu ? "gpu" : "cpu"].product);

/** Everything whose rate is a limit of the machine in a precision. */
export function limitKindsOn(place: Place, precision: Precision): readonly LimitKind[] {
  const { batch } = sizes[place.isGpu ? "gpu" : "cpu"];
  const passNames = Object.keys(passes) as (keyof typeof passes)[];
  const convolutions = passNames.map((pass) => convolution(pass, batch));
  return precision === "tf32" ? convolutions : [matrixProductOn(place), ...convolutions];
}

/** The limits of this process; tensors are made when they are first needed. */
export class Limits {
  readonly #place: Place;
  readonly #limits = new Map<string, Limit>();
  readonly #best = new Map<Precision, Promise<Limit>>();

  constructor(place: Place) {
    this.#place = place;
  }

  of({ what: kind, flops, prepare }: LimitKind, precision: Precision): Limit {
    const { device, time } = this.#place;
    const what = `${kind}, ${precision}`;
    const known = this.#limits.get(what);
    if (known) return known;
    const body = prepare(precision, device);
    const once = (): number => time(() => scope(body));
    // The best rate, even while others use the machine.
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
    const limits = limitKindsOn(this.#place, precision).map((kind) => this.of(kind, precision));
    const seconds = await inTurns(
      limits.map(({ cost }) => cost),
      { seconds: 2, least: 3, most: 9 },
    );
    const rates = limits.map((limit, i) => ({ limit, rate: limit.flops / median(seconds[i] ?? []) }));
    return rates.reduce((best, next) => (next.rate > best.rate ? next : best)).limit;
  }
}
