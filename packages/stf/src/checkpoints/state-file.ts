/** Training states: everything needed to resume, as safetensors with JSON metadata. */

import { elementCount, FileFormatError, noGrad, saveSafetensors, scope, type Tensor } from "@stf/torch";
import { UsageError } from "../common/errors.js";
import type { NetworkConfig } from "../networks/build.js";
import { differenceOf } from "../preconditioning/table.js";
import { powerWidths } from "../training/power-average.js";
import { initialStability, type Stability } from "../training/stability.js";
import type { TrainingState } from "../training/state.js";
import { storedConfig, storedPreconditioning } from "./stored-config.js";
import { metadataField, openStored, STATE_FORMAT } from "./stored-file.js";

/** The parts of a state that are flat tensors, by the prefix of their names in the file. */
const flatParts = (state: TrainingState): Record<string, Tensor> => ({
  net: state.parameters.values,
  ema: state.ema.average.values,
  exp_avg: state.optimizer.expAvg,
  exp_avg_sq: state.optimizer.expAvgSq,
  ...(state.secondAverage && { [`ema-${powerWidths.other}`]: state.secondAverage }),
});

/** Approximate size of the file of a state and of those that come with a snapshot, in bytes. */
export function checkpointBytes(state: TrainingState): { readonly state: number; readonly snapshot: number } {
  const network = 4 * elementCount(state.parameters.values.shape);
  // Both averages are stored beside the snapshot.
  return { state: Object.keys(flatParts(state)).length * network, snapshot: network * (state.secondAverage ? 3 : 1) };
}

/**
 * Writes everything needed to resume from here, as a safetensors file.
 *
 * @param options - the options of the run, JSON-serializable
 * @param temporary - whether a later one may replace it; recorded in the file
 * @throws UsageError when the configuration's preconditioning or its constants differ from the network's; errors of the
 * file system, such as a full disk.
 */
export function saveState(
  path: string,
  state: TrainingState,
  config: NetworkConfig,
  options: Record<string, unknown>,
  { temporary = false }: { readonly temporary?: boolean } = {},
): void {
  const stored = storedConfig(state.network, config);
  scope(() => {
    const tensors = new Map<string, Tensor>();
    for (const [part, flat] of Object.entries(flatParts(state))) {
      for (const [name, view] of state.parameters.viewsOf(flat)) tensors.set(`${part}.${name}`, view);
    }
    for (const [name, buffer] of state.network.namedBuffers()) tensors.set(`net.${name}`, buffer);
    saveSafetensors(path, tensors, {
      format: STATE_FORMAT,
      network: JSON.stringify(stored),
      options: JSON.stringify(options),
      ...(temporary && { temporary: "true" }),
      clock: JSON.stringify({
        images: state.images,
        optimizerSteps: state.optimizer.stepCount,
        stability: state.stability,
      }),
    });
  });
}

/** The result of {@link loadState}. */
export interface SavedState extends Disposable {
  /** The configuration of the network. */
  readonly config: NetworkConfig;
  /** The options of the run. */
  readonly options: Record<string, unknown>;
  /** Whether a later state may replace it. */
  readonly temporary: boolean;
  /**
   * Copies everything into a state of the same configuration, once. Frees the copy in memory.
   *
   * @throws FileFormatError when a tensor is missing, UsageError when the state has another preconditioning; nothing is copied
   * then.
   */
  restore(state: TrainingState): void;
  /** Frees the copy in memory of a state that is not restored. */
  [Symbol.dispose](): void;
}

interface Clock {
  readonly images: number;
  readonly optimizerSteps: number;
  /** Missing in files of earlier versions. */
  readonly stability?: unknown;
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/**
 * Reads a training state into memory, where it stays until `restore` is called.
 *
 * @throws InputError when the file does not exist, or is another of this program's kinds; FileFormatError when it is
 * damaged or not a safetensors file. Both name it.
 */
export function loadState(path: string): SavedState {
  const { tensors, metadata } = openStored(path, STATE_FORMAT, "training state");
  const release = (): void => {
    for (const tensor of tensors.values()) tensor.dispose();
    tensors.clear();
  };
  const find = (name: string): Tensor => {
    const tensor = tensors.get(name);
    if (!tensor) throw new FileFormatError(`${path} cannot be used: it has no "${name}"`);
    return tensor;
  };
  try {
    const config = metadataField(path, metadata, "network") as NetworkConfig;
    const preconditioning = storedPreconditioning(path, metadata["network"]);
    const options = metadataField(path, metadata, "options") as Record<string, unknown>;
    const clock = metadataField(path, metadata, "clock") as Clock | null;
    if (!isCount(clock?.images) || !isCount(clock.optimizerSteps)) {
      throw new FileFormatError(`${path} cannot be used: its "clock" must count images and steps; it is damaged`);
    }
    return {
      config,
      options,
      temporary: metadata["temporary"] === "true",
      [Symbol.dispose]: release,
      restore(state) {
        try {
          const difference = differenceOf(state.network.preconditioning, preconditioning);
          if (difference) {
            throw new UsageError(
              `the network must have the preconditioning of ${path}, ${difference.wanted}, found ${difference.found}; build it from the file's own configuration`,
            );
          }
          noGrad(() => scope(() => copyInto(state, find)));
        } finally {
          release();
        }
        restoreStability(state, clock.stability);
        state.images = clock.images;
        state.optimizer.stepCount = clock.optimizerSteps;
      },
    };
  } catch (error) {
    release();
    throw error;
  }
}

/** Takes over what a file says, where it says something sensible. The scale belongs to the precision, which may have changed. */
function restoreStability({ network, stability }: TrainingState, stored: unknown): void {
  const { rate, skipped, scale, steady } = Object(stored) as Partial<Record<keyof Stability, unknown>>;
  const isFactor = (value: unknown): value is number =>
    typeof value === "number" && value > 0 && Number.isFinite(value);
  const initial = initialStability(network.precision);
  Object.assign(stability, initial, {
    ...(isFactor(rate) && { rate }),
    ...(isCount(skipped) && { skipped }),
    ...(initial.scale > 1 && isFactor(scale) && isCount(steady) && { scale, steady }),
  } satisfies Partial<Stability>);
}

/** Copies every tensor of a saved state, looked up by name, into the state. Nothing is copied when one is missing. */
function copyInto(state: TrainingState, find: (name: string) => Tensor): void {
  const copies: [target: Tensor, source: Tensor][] = [];
  for (const [part, flat] of Object.entries(flatParts(state))) {
    for (const [name, view] of state.parameters.viewsOf(flat)) copies.push([view, find(`${part}.${name}`)]);
  }
  const names = Array.from(state.network.namedBuffers(), ([name]) => name);
  const buffers = new Map(names.map((name) => [name, find(`net.${name}`)]));
  for (const network of [state.network, state.averaged]) network.loadStateDict(buffers, { strict: false });
  for (const [target, source] of copies) target.copy_(source);
}
