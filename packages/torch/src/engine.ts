/** The engine's description and its settings. */

import { constants } from "node:os";
import { call, operator, wrap } from "./dispatch.js";
import type { Device } from "./dtype.js";
import { TorchError } from "./errors.js";
import { type EngineEnvironment, native } from "./native.js";
import { Tensor } from "./tensor.js";

export type { EngineEnvironment } from "./native.js";

/** {@link engineReport}'s result. */
export interface EngineReport extends EngineEnvironment {
  /** The instruction set that libtorch's own kernels use, such as "AVX2". */
  readonly cpuCapability: string;
}

/** Describes libtorch and this machine. */
export function engineReport(): EngineReport {
  const environment = native.environment();
  return {
    ...environment,
    cpuCapability: /CPU capability usage: (\S+)/.exec(environment.build)?.[1] ?? "unknown",
  };
}

/**
 * Sets how many threads one operator may use, at least 1. At first it is `OMP_NUM_THREADS`, else the number of
 * processors.
 *
 * @throws TorchError when `count` is not a positive whole number.
 */
export function setThreads(count: number): void {
  native.setThreads(count);
}

/**
 * Returns memory to the system that was freed on the CPU or that kernels keep for intermediate results. Otherwise the process keeps
 * both for reuse, since every step needs its activations again. Worth calling after a large computation that is not repeated.
 */
export function releaseFreeMemory(): void {
  native.releaseFreeMemory();
}

/**
 * Sets whether GPUs may round the inputs of float32 convolutions to TF32, a 10-bit mantissa, which is several times
 * faster. By default they may not. Matrix products never are: the exact distances of stable targets depend on it.
 */
export function allowTf32(allowed: boolean): void {
  // cuDNN tries its algorithms once for every shape, and shapes do not change during training.
  native.setConvolutions(true, allowed);
}

/**
 * Waits until a device has finished all queued work. A GPU works through a queue, so timing needs this; reading a tensor
 * waits on its own. Has no effect on the CPU.
 */
export function synchronize(device: Device): void {
  native.synchronize(device);
}

/** Memory of a GPU, in bytes. */
export interface DeviceMemory {
  /** In live tensors, including those that autograd keeps. */
  readonly allocated: number;
  /** The maximum of `allocated` since the start, or since {@link resetPeakMemory}. */
  readonly peak: number;
  /** What libtorch holds, including memory kept for reuse. */
  readonly reserved: number;
}

/** What libtorch has allocated on a GPU; undefined for the CPU, and where libtorch (before 2.8) does not report it. */
export function deviceMemory(device: Device): DeviceMemory | undefined {
  const counts = native.deviceMemory(device, false);
  if (counts === null) return undefined;
  const [allocated, peak, reserved] = counts;
  return { allocated, peak, reserved };
}

/** Resets {@link DeviceMemory.peak}. */
export function resetPeakMemory(device: Device): void {
  native.deviceMemory(device, true);
}

/** The text of every operator's schema in this libtorch, such as "aten::relu(Tensor self) -> Tensor". */
export function operatorSchemas(): string[] {
  return native.schemas();
}

/** Whether this libtorch has an operator, such as "aten::add.Tensor". */
export function hasOperator(name: string): boolean {
  return native.hasOperator(name);
}

interface Signature {
  readonly index: number;
  /** The name of each argument, and whether it takes tensors. */
  readonly parameters: readonly { name: string; takesTensors: boolean }[];
  readonly returnsTensors: boolean;
}

const signatures = new Map<string, Signature>();

/** The addon cannot tell handles from plain numbers, so the schema has to say which arguments are tensors. */
function signatureOf(name: string): Signature {
  const known = signatures.get(name);
  if (known) return known;
  const schema = native.schemas().find((text) => text.startsWith(`${name}(`)) ?? `${name}() -> ()`;
  const arrow = schema.lastIndexOf("->");
  const parameters = schema
    .slice(name.length + 1, schema.lastIndexOf(")", arrow))
    .split(/,(?![^[]*\])/) // not at the commas of a default such as [1, 1]
    .map((text) => text.trim())
    .filter((text) => text !== "" && text !== "*")
    .map((text) => ({ name: /(\w+)(=.*)?$/.exec(text)?.[1] ?? "", takesTensors: text.startsWith("Tensor") }));
  const signature = { index: operator(name), parameters, returnsTensors: schema.slice(arrow).includes("Tensor") };
  signatures.set(name, signature);
  return signature;
}

/** What an operator accepts and returns when it is called by name. */
export type OperatorValue = Tensor | number | bigint | boolean | string | null | undefined | readonly OperatorValue[];

/**
 * Calls any operator of libtorch by name, such as "aten::add.Tensor", with the arguments of its schema in order; arguments
 * left out take the schema's defaults. dtypes and memory formats are libtorch's numbers here. Tensors among the results
 * are new tensors; an in-place operator returns nothing.
 *
 * @throws TorchError naming the operator and the shapes of its arguments.
 */
export function callOperator(name: string, ...args: OperatorValue[]): unknown {
  const { index, parameters, returnsTensors } = signatureOf(name);
  const lower = (value: OperatorValue, position: number): unknown => {
    if (Array.isArray(value)) return value.map((element) => lower(element, position));
    const parameter = parameters[position];
    const isTensor = value instanceof Tensor;
    if (parameter && isTensor !== parameter.takesTensors && value !== null && value !== undefined) {
      const [expected, found] = isTensor ? ["no tensor", "one"] : ["a tensor", `${value}`];
      throw new TorchError(`${name}: argument '${parameter.name}': expected ${expected}, found ${found}`);
    }
    return isTensor ? value.handle : value;
  };
  const result: unknown = call(index, ...args.map(lower));
  return returnsTensors ? raise(result) : result;
}

/**
 * Seconds that `count` calls of an operator on tensors take inside C++ with converted arguments: the reference for measuring a
 * binding.
 *
 * @throws TorchError when this libtorch has no such operator, or the operator fails.
 */
export function timeOperator(name: string, count: number, ...args: Tensor[]): number {
  const handles = args.map((tensor) => tensor.handle);
  return native.repeat(signatureOf(name).index, count, ...handles);
}

function raise(result: unknown): unknown {
  if (typeof result === "number") return wrap(result);
  return Array.isArray(result) ? result.map(raise) : result;
}

/** A signal that asks a program to stop. */
export type Interrupt = "SIGINT" | "SIGTERM" | "SIGHUP" | "SIGUSR1";

/**
 * Records Ctrl-C (SIGINT), SIGTERM, SIGHUP and SIGUSR1, which schedulers send before a deadline, from now on instead of ending the
 * process, also while an operator runs. A second SIGINT or SIGTERM ends the process at once. Call with false to restore the former behaviour.
 *
 * @param options.hangups - whether to include SIGHUP, which is sent when the terminal closes (the default)
 */
export function catchInterrupts(enabled: boolean, { hangups = true }: { hangups?: boolean } = {}): void {
  native.catchInterrupts(enabled, hangups);
}

/**
 * Takes the lock of an open file, which one process can hold at a time (flock). The system releases it when the descriptor is closed,
 * also at the end of the process, however it ends. On a file system without locks every process gets it.
 *
 * @returns whether this process now holds it
 */
export function lockFile(descriptor: number): boolean {
  return native.lockFile(descriptor);
}

/** The first interrupt that has arrived since `catchInterrupts(true)`; undefined for none. */
export function interrupt(): Interrupt | undefined {
  const number = native.interrupt();
  if (number === 0) return undefined;
  return (["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"] as const).find((name) => constants.signals[name] === number);
}

/** What an operator cost while {@link profileOperators} watched. */
export interface OperatorCost {
  /** Such as "aten::add", or the name of a node of the backward pass. */
  readonly name: string;
  /** How often it ran. */
  readonly calls: number;
  /** Total seconds, not counting the operators that it called itself. */
  readonly seconds: number;
}

/**
 * Runs `body` and measures every operator in it; the most expensive comes first. Backward passes are included. Measuring
 * costs about a microsecond per call.
 *
 * @param device - a GPU to wait for after every operator, so that its time is counted where it is spent; operators then no
 * longer run back to back, and the total takes longer
 * @throws TorchError inside another profile.
 */
export function profileOperators(body: () => void, device: Device = "cpu"): OperatorCost[] {
  native.startProfile(device);
  let rows: ReturnType<typeof native.stopProfile> = [];
  try {
    body();
  } finally {
    rows = native.stopProfile();
  }
  return rows.map(([name, calls, seconds]) => ({ name, calls, seconds })).sort((a, b) => b.seconds - a.seconds);
}
