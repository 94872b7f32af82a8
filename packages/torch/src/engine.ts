/** What the engine is and how it is told to behave. */

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
 * @throws TorchError when `count` is no positive whole number.
 */
export function setThreads(count: number): void {
  native.setThreads(count);
}

/**
 * Gives the system back what was freed on the CPU, and what kernels keep for intermediate results. Otherwise the process keeps
 * both, to use them again: activations come back every step. Worth it after something large that does not.
 */
export function releaseFreeMemory(): void {
  native.releaseFreeMemory();
}

/**
 * Whether GPUs may round the factors of float32 convolutions to TF32, 10 bits after the point, which is several times
 * faster. At first they may not. Matrix products never are: the exact distances of stable targets depend on it.
 */
export function allowTf32(allowed: boolean): void {
  // cuDNN tries its algorithms once for every shape; the shapes of a training stay the same.
  native.setConvolutions(true, allowed);
}

/**
 * Waits until a device has done everything that it was asked for. A GPU works through a queue, so what is to be timed needs
 * it; tensors that are read wait by themselves. Without effect on the CPU.
 */
export function synchronize(device: Device): void {
  native.synchronize(device);
}

/** Memory of a GPU, in bytes. */
export interface DeviceMemory {
  /** Of live tensors, those that autograd keeps included. */
  readonly allocated: number;
  /** The most of that since the start, or since {@link resetPeakMemory}. */
  readonly peak: number;
  /** What libtorch holds, to use it again. */
  readonly reserved: number;
}

/** What libtorch has allocated on a GPU; undefined for the CPU, and where this libtorch (before 2.8) does not tell. */
export function deviceMemory(device: Device): DeviceMemory | undefined {
  const counts = native.deviceMemory(device, false);
  if (counts === null) return undefined;
  const [allocated, peak, reserved] = counts;
  return { allocated, peak, reserved };
}

/** Starts the count of {@link DeviceMemory.peak} anew. */
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
  /** What each argument is called, and whether tensors are what it takes. */
  readonly parameters: readonly { name: string; takesTensors: boolean }[];
  readonly returnsTensors: boolean;
}

const signatures = new Map<string, Signature>();

/** Handles and plain numbers look alike to the addon, so the schema has to say where tensors are meant. */
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
 * Seconds that `count` calls of an operator on tensors take from inside C++, arguments at the ready: what a binding is
 * measured against.
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
export type Interrupt = "SIGINT" | "SIGTERM" | "SIGHUP";

/**
 * Notes Ctrl-C (SIGINT), SIGTERM and SIGHUP from now on instead of ending the process, also while an operator runs. A second
 * SIGINT or SIGTERM ends the process at once. Call with false to give the signals back.
 *
 * @param options.hangups - whether SIGHUP is among them, which is sent when the terminal closes; when left out it is
 */
export function catchInterrupts(enabled: boolean, { hangups = true }: { hangups?: boolean } = {}): void {
  native.catchInterrupts(enabled, hangups);
}

/**
 * Takes the lock of an open file, which one process has at a time (flock). The system gives it back when the descriptor is closed,
 * also by the end of the process, whatever ended it. A file system without locks lets everyone have it.
 *
 * @returns whether this process has it now
 */
export function lockFile(descriptor: number): boolean {
  return native.lockFile(descriptor);
}

/** The first interrupt that has arrived since `catchInterrupts(true)`; undefined for none. */
export function interrupt(): Interrupt | undefined {
  const number = native.interrupt();
  if (number === 0) return undefined;
  return (["SIGINT", "SIGTERM", "SIGHUP"] as const).find((name) => constants.signals[name] === number);
}

/** What an operator cost while {@link profileOperators} watched. */
export interface OperatorCost {
  /** Such as "aten::add", or the name of a step of the backward pass. */
  readonly name: string;
  /** How often it ran. */
  readonly calls: number;
  /** Seconds in all, without those of the operators that it called itself. */
  readonly seconds: number;
}

/**
 * Runs `body` and measures every operator in it, the dearest first. Backward passes are included. The measuring itself
 * costs about a microsecond a call.
 *
 * @param device - a GPU to wait for after every operator, so that its time is counted where it is spent; operators then no
 * longer follow each other without a gap, and the whole takes longer
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
