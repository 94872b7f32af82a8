/** Random numbers: the global seed, and generators of their own. Values equal PyTorch's for equal seeds on the CPU. */

import { tensor } from "./create.js";
import { call, operator, wrap } from "./dispatch.js";
import type { Device } from "./dtype.js";
import { native } from "./native.js";
import { scope } from "./scope.js";
import type { Tensor } from "./tensor.js";

/** From native/kernels/keyed_normal.cc. */
const KEYED_NORMAL = operator("stf::keyed_normal");

const DEFAULT_GENERATOR = 0;

const registry = new FinalizationRegistry<number>((id) => native.releaseGenerator(id));

/** Seeds the default generator of every device. */
export function manualSeed(seed: number | bigint): void {
  native.manualSeed(seed);
}

/** The state of the CPU's default generator, a uint8 tensor as PyTorch's `torch.get_rng_state()`. */
export function rngState(): Tensor {
  return wrap(native.generatorState(DEFAULT_GENERATOR));
}

/**
 * Sets the state of the CPU's default generator to one that {@link rngState} returned.
 *
 * @throws TorchError when `state` is no such state.
 */
export function setRngState(state: Tensor): void {
  native.setGeneratorState(DEFAULT_GENERATOR, state.handle);
}

/**
 * Standard normal numbers of which each depends on the key of its row and its place in the row alone, float32
 * `[keys.length, columns]`: from the hash SplitMix64 (Steele, Lea and Flood 2014) by Box and Muller (1958). The same on every
 * device but for rounding, and a few launches on a GPU, whatever the number of keys. The largest possible number is 6.66.
 *
 * @param keys - whole numbers of at most 64 bits
 */
export function keyedNormal(keys: readonly bigint[], columns: number, device: Device = "cpu"): Tensor {
  return scope(() => {
    const seeds = tensor(
      BigInt64Array.from(keys, (key) => BigInt.asIntN(64, key)),
      { device },
    );
    return wrap(call(KEYED_NORMAL, seeds.handle, columns));
  });
}

/**
 * A stream of random numbers of its own. On the CPU it is PyTorch's Mersenne Twister, of whose seed libtorch uses the
 * low 32 bits.
 */
export class Generator {
  /** The number by which operators know the generator. */
  readonly id: number;

  /**
   * @param seed - a whole number of at most 64 bits
   * @throws TorchError when this libtorch has no such device.
   */
  constructor(seed: number | bigint = 0, device: Device = "cpu") {
    this.id = native.createGenerator(device, seed);
    registry.register(this, this.id, this);
  }

  /** Starts the stream again from `seed`. Returns this generator. */
  manualSeed(seed: number | bigint): this {
    native.seedGenerator(this.id, seed);
    return this;
  }

  /** A uint8 tensor from which `setState` continues. */
  state(): Tensor {
    return wrap(native.generatorState(this.id));
  }

  /**
   * Continues from where {@link state} was called. Returns this generator.
   *
   * @throws TorchError when `state` is no such state.
   */
  setState(state: Tensor): this {
    native.setGeneratorState(this.id, state.handle);
    return this;
  }

  /** Frees the generator; doing it again has no effect. */
  dispose(): void {
    registry.unregister(this);
    native.releaseGenerator(this.id);
  }

  /** What `using` calls: {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
