/** What the engine is and how it is told to behave. */

import { call, operator, wrap } from "./dispatch.js";
import { addonPath, type EngineEnvironment, native, processorFlags } from "./native.js";
import { Tensor } from "./tensor.js";

export type { EngineEnvironment } from "./native.js";

export interface EngineReport extends EngineEnvironment {
  /** The instruction set that libtorch's own kernels use, such as "AVX2". */
  readonly cpuCapability: string;
  /** The compiled addon. */
  readonly addonPath: string;
  /** Whether the processor multiplies bfloat16 matrices itself (AMX), computes with bfloat16 (AVX-512), or neither. */
  readonly bfloat16: "amx" | "avx512" | "emulated";
}

/** Describes libtorch and this machine. */
export function engineReport(): EngineReport {
  const environment = native.environment();
  const flags = processorFlags();
  return {
    ...environment,
    cpuCapability: /CPU capability usage: (\S+)/.exec(environment.build)?.[1] ?? "unknown",
    addonPath,
    bfloat16: flags.has("amx_bf16") ? "amx" : flags.has("avx512_bf16") ? "avx512" : "emulated",
  };
}

/** Sets how many threads one operator may use. */
export function setThreads(count: number): void {
  native.setThreads(count);
}

/** The text of every operator's schema in this libtorch. */
export function operatorSchemas(): string[] {
  return native.schemas();
}

/** Whether this libtorch has an operator, such as "aten::add.Tensor". */
export function hasOperator(name: string): boolean {
  return native.hasOperator(name);
}

const known = new Map<string, number>();

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
  let index = known.get(name);
  if (index === undefined) {
    index = operator(name);
    known.set(name, index);
  }
  const returnsTensors = tensorResults(name);
  const result: unknown = call(index, ...args.map(lower));
  return returnsTensors ? raise(result) : result;
}

function lower(value: OperatorValue): unknown {
  if (value instanceof Tensor) return value.handle;
  return Array.isArray(value) ? value.map(lower) : value;
}

const tensorResultsOf = new Map<string, boolean>();

/** Handles and plain numbers look alike, so the schema has to say which of them a result is. */
function tensorResults(name: string): boolean {
  let answer = tensorResultsOf.get(name);
  if (answer === undefined) {
    const schema = native.schemas().find((text) => text.startsWith(`${name}(`));
    answer = schema?.slice(schema.lastIndexOf("->")).includes("Tensor") ?? false;
    tensorResultsOf.set(name, answer);
  }
  return answer;
}

function raise(result: unknown): unknown {
  if (typeof result === "number") return wrap(result);
  return Array.isArray(result) ? result.map(raise) : result;
}

/**
 * Counts Ctrl-C (SIGINT) and SIGTERM from now on instead of ending the process, also while an operator runs. A second one
 * ends the process at once. Call with false to give the signals back.
 */
export function catchInterrupts(enabled: boolean): void {
  native.catchInterrupts(enabled);
}

/** How many interrupts have arrived since `catchInterrupts(true)`. */
export function interruptCount(): number {
  return native.interrupts();
}
