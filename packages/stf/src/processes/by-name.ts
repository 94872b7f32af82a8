/** The processes that can be selected by name, whatever the network was trained with. */

import { type DiscreteProcess, edmProcess, type Process, subVpProcess, veProcess, vpProcess } from "./process.js";
import type { NoiseRange } from "./scheduled.js";

/** How to make a named process. */
export interface NamedProcess<P extends Process = Process> {
  /** Whether it accepts any range of noise levels; if not, it has its own. */
  readonly takesRange: boolean;
  /** @param range - range of noise levels, if it accepts one */
  make(range: NoiseRange): P;
}

/** Those that are also chains, as predictors require. */
export const discreteProcesses = {
  ve: { takesRange: true, make: veProcess },
  vp: { takesRange: false, make: () => vpProcess() },
  subvp: { takesRange: false, make: () => subVpProcess() },
} as const satisfies Readonly<Record<string, NamedProcess<DiscreteProcess>>>;

/** All processes. */
export const processes = {
  edm: { takesRange: true, make: () => edmProcess },
  ...discreteProcesses,
} as const satisfies Readonly<Record<string, NamedProcess>>;

/** The name of a process that is also a chain. */
export type DiscreteProcessName = keyof typeof discreteProcesses;

/** The name of a process. */
export type ProcessName = keyof typeof processes;

/** The names of the processes. */
export const processNames = Object.keys(processes) as ProcessName[];

/** The names of the processes that are also chains. */
export const discreteProcessNames = Object.keys(discreteProcesses) as DiscreteProcessName[];

/**
 * The named process for a network: the network's own if it has this name and its own noise levels, since it may have
 * been trained with other constants.
 *
 * @param own - the process that the network was trained with
 * @param range - range of noise levels, for a process that accepts one
 */
export function processFor(name: ProcessName, own: Process, range: NoiseRange): Process {
  const { takesRange, make } = processes[name];
  return !takesRange && own.name === name ? own : make(range);
}

/** The same for processes that are also chains. */
export function discreteProcessFor(name: DiscreteProcessName, own: Process, range: NoiseRange): DiscreteProcess {
  const { takesRange, make } = discreteProcesses[name];
  return !takesRange && own.name === name && isDiscrete(own) ? own : make(range);
}

const isDiscrete = (process: Process): process is DiscreteProcess => "chainStep" in process;
