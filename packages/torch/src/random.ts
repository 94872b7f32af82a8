/** Random numbers: the global seed, and separate generators. On the CPU, values equal PyTorch's for equal seeds. */

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
 * @throws TorchError when `state` is not such a state.
 */
export function setRngState(state: Tensor): void {
  native.setGeneratorState(DEFAULT_GENERATOR, state.handle);
}

/**
 * Standard normal numbers, float32 `[keys.length, columns]`, each of which depends only on the key of its row and its position in
 * the row: the hash SplitMix64 (Steele, Lea and Flood 2014), transformed by Box and Muller (1958). The same on every
 * device up to rounding, and a few launches on a GPU, whatever the number of keys. The largest possible value is 6.66.
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
 * A separate stream of random numbers. On the CPU it is PyTorch's Mersenne Twister; libtorch uses the low 32 bits of its
 * seed.
 */
export class Generator {
  /** The number that identifies the generator to operators. */
  readonly id: number;

  /**
   * @param seed - a whole number of at most 64 bits
   * @throws TorchError when this libtorch has no such device.
   */
  constructor(seed: number | bigint = 0, device: Device = "cpu") {
    this.id = native.createGenerator(device, seed);
    registry.register(this, this.id, this);
  }

  /** Restarts the stream from `seed`. Returns this generator. */
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
   * @throws TorchError when `state` is not such a state.
   */
  setState(state: Tensor): this {
    native.setGeneratorState(this.id, state.handle);
    return this;
  }

  /** Frees the generator; calling it again has no effect. */
  dispose(): void {
    registry.unregister(this);
    native.releaseGenerator(this.id);
  }

  /** What `using` calls: {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
