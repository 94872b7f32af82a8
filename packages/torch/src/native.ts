/**
 * The boundary to the addon: the only file that loads it, with its typed interface. Everything that libtorch reads from
 * the environment is set here, before the library is loaded.
 */

import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { EngineUnavailableError, TorchError } from "./errors.js";
import { addonPath, processorFlags } from "./installation.js";

/** An integer that identifies a tensor in the addon's table; never reused. */
export type Handle = number;

/**
 * What the loaded libtorch reports about itself.
 *
 * @category engine
 */
export interface EngineEnvironment {
  /** Version of libtorch, such as "1.13.0". */
  readonly version: string;
  /** Threads that one operator may use. */
  readonly threads: number;
  /** The instruction set that this package's kernels use, such as "avx2". */
  readonly instructionSet: string;
  /** Whether this libtorch was built with CUDA. */
  readonly cudaBuilt: boolean;
  /** Number of CUDA devices that it can use. */
  readonly cudaDevices: number;
  /** Whether it was built with oneDNN, whose convolutions are the fast ones on CPUs. */
  readonly oneDnn: boolean;
  /** libtorch's own description of its build. */
  readonly build: string;
}

export interface Native {
  initialize(errorClass: typeof TorchError, numbers: Float64Array): void;
  operator(name: string): number;
  hasOperator(name: string): boolean;
  schemas(): string[];
  // biome-ignore lint/suspicious/noExplicitAny: the schema decides the types; the generated wrappers state them
  call(operator: number, ...values: unknown[]): any;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  callNumbers(): any;
  repeat(operator: number, count: number, ...values: unknown[]): number;
  release(handle: Handle): void;
  releaseAll(handles: Float64Array, count: number): void;
  isLive(handle: Handle): boolean;
  memory(): [tensors: number, bytes: number];
  shape(handle: Handle): number[];
  strides(handle: Handle): number[];
  scalarType(handle: Handle): number;
  device(handle: Handle): string;
  elementBytes(handle: Handle): number;
  adjustExternalMemory(change: number): number;
  fromBytes(bytes: Uint8Array, scalarType: number, shape: readonly number[], device: string): Handle;
  toBytes(handle: Handle): ArrayBuffer;
  backward(outputs: Handle[], gradients: Handle[] | undefined, retainGraph: boolean, createGraph: boolean): void;
  gradients(
    outputs: Handle[],
    inputs: Handle[],
    gradients: Handle[] | undefined,
    retainGraph: boolean,
    createGraph: boolean,
    allowUnused: boolean,
  ): (Handle | null)[];
  gradient(handle: Handle): Handle | null;
  setGradient(handle: Handle, gradient: Handle | null): void;
  requiresGradient(handle: Handle): boolean;
  setRequiresGradient(handle: Handle, flag: boolean): void;
  isLeaf(handle: Handle): boolean;
  setGradientMode(enabled: boolean): boolean;
  manualSeed(seed: number | bigint): void;
  createGenerator(device: string, seed: number | bigint): number;
  releaseGenerator(id: number): void;
  seedGenerator(id: number, seed: number | bigint): void;
  generatorState(id: number): Handle;
  setGeneratorState(id: number, state: Handle): void;
  environment(): EngineEnvironment;
  setConvolutions(autotune: boolean, allowTf32: boolean): void;
  synchronize(device: string): void;
  deviceMemory(device: string, resetPeak: boolean): [allocated: number, peak: number, reserved: number] | null;
  setThreads(count: number): void;
  keepFreeMemory(): void;
  releaseFreeMemory(): void;
  poisonMemory(): void;
  catchInterrupts(enabled: boolean, hangups: boolean): void;
  lockFile(descriptor: number): boolean;
  interrupt(): number;
  checksum(bytes: Uint8Array, seed: bigint): bigint;
  openStore(host: string, port: number, isServer: boolean, milliseconds: number): [id: number, port: number];
  closeStore(store: number): void;
  openGroup(
    store: number,
    prefix: string,
    backend: "gloo" | "nccl",
    rank: number,
    size: number,
    networkInterface: string,
    address: string,
  ): number;
  groupIsReady(group: number): boolean;
  closeGroup(group: number): void;
  allReduce(group: number, tensor: Handle): number;
  broadcast(group: number, tensor: Handle, rank: number): number;
  allGather(group: number, outputs: Handle[], tensor: Handle): number;
  workIsDone(work: number, milliseconds: number): boolean;
  openWatch(host: string, port: number, prefix: string, rank: number, size: number, words: string): number;
  closeWatch(watch: number): void;
  watchSay(watch: number, words: string): void;
  watchFail(watch: number, reason: string, milliseconds: number): void;
  watchState(watch: number): [answered: number, failure: string, isDoubled: boolean, ages: number[], words: string[]];
  openBuckets(group: number, parts: Handle[], parameters: Handle[], bucketOf: number[]): number;
  closeBuckets(buckets: number): void;
  beginBuckets(buckets: number): void;
  flushBuckets(buckets: number): number;
  bucketsAreDone(buckets: number, milliseconds: number): number[] | null;
  startProfile(device: string): void;
  stopProfile(): [name: string, calls: number, seconds: number][];
}

/** The operator, the number of arguments, and the arguments of `callNumbers`; then its result. */
export const sharedNumbers = new Float64Array(34);

/**
 * Settings that libtorch and its libraries read once, when they are loaded. Values set by the user are kept.
 * Debian's libtorch picks AVX2 kernels even if the processor has AVX-512, which is up to 1.8 times slower, and it takes
 * its thread count from a library that has been seen to return 1 on two cores. Threads wait for each other by spinning, which
 * keeps a delayed thread off its processor when other programs compute, too: steps took 2 to 50 times as long. A spin of a few
 * microseconds costs 3 to 9 percent on an idle machine, and avoids that slowdown on a busy one. The environment of some containers
 * lets GPUs round the inputs of matrix products to 10 bits; that is overridden, because sums of whole numbers must be exact.
 */
function prepareEnvironment(): number {
  const flags = processorFlags();
  if (["avx512f", "avx512dq", "avx512vl", "avx512bw"].every((flag) => flags.has(flag))) {
    process.env["ATEN_CPU_CAPABILITY"] ??= "avx512";
  }
  process.env["TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"] = "0";
  const requested = Number.parseInt(process.env["OMP_NUM_THREADS"] ?? "", 10);
  const threads = requested > 0 ? requested : availableParallelism();
  process.env["OMP_NUM_THREADS"] ??= String(threads);
  process.env["OPENBLAS_NUM_THREADS"] ??= String(threads);
  process.env["GOMP_SPINCOUNT"] ??= "2000";
  return threads;
}

function load(): Native {
  const threads = prepareEnvironment();
  if (!existsSync(addonPath)) {
    throw new EngineUnavailableError(
      `the native addon is not built: there is no ${addonPath}. Run "npm run setup" in the project's folder; "npx stf doctor" says what is missing.`,
      [`${addonPath}: no such file`],
    );
  }
  let native: Native;
  try {
    native = createRequire(import.meta.url)(addonPath) as Native;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    if (/failed to map segment|cannot allocate memory/i.test(reason)) {
      throw new EngineUnavailableError(
        `the native addon cannot be loaded: ${reason}. The process needs more memory for its libraries than it may have; "ulimit -v" shows its limit.`,
        [`${addonPath}: ${reason}`],
        { cause },
      );
    }
    throw new EngineUnavailableError(
      `the native addon cannot be loaded: ${reason}. If libtorch was moved, updated or removed since the build, run "npm run setup"; "npx stf doctor" says more.`,
      [`${addonPath}: ${reason}`],
      { cause },
    );
  }
  native.initialize(TorchError, sharedNumbers);
  // This changes malloc for the whole process, but nearly all of its memory belongs to operators.
  native.keepFreeMemory();
  // For tests: reading uninitialised memory then yields NaNs.
  if (process.env["TORCH_POISON_MEMORY"] === "1") native.poisonMemory();
  native.setThreads(threads);
  native.setConvolutions(true, false);
  return native;
}

export const native: Native = load();
