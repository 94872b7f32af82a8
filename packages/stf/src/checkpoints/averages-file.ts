/** The two power-function averages of a run at one time, from which averages of other widths are made. */

import { FileFormatError, saveSafetensors, scope, type Tensor } from "@stf/torch";
import type { NetworkConfig } from "../networks/build.js";
import { powerExponent, powerWidths } from "../training/power-average.js";
import type { TrainingState } from "../training/state.js";
import { storedConfig } from "./stored-config.js";
import { AVERAGES_FORMAT, metadataField, openStored, storedMetadata } from "./stored-file.js";

const WHAT = "file of averages";

/** The prefix of the names of one average's tensors. */
const prefixOf = (width: number): string => `ema-${width}.`;

/** Options of {@link saveAverages}. */
export interface SaveAveragesOptions {
  /** Whether a later file may replace it; recorded in the file. */
  readonly temporary?: boolean;
  /** Whether something takes over from the network at high noise in the run's snapshots, which averages do not hold. */
  readonly hasAnalytic?: boolean;
}

/**
 * Writes both averages of a state, with the configuration of the network.
 *
 * @param about - further JSON-serializable data about the training
 * @throws TypeError for a state without power-function averages; otherwise as `saveSnapshot`
 */
export function saveAverages(
  path: string,
  state: TrainingState,
  config: NetworkConfig,
  about: Record<string, unknown>,
  { temporary = false, hasAnalytic = false }: SaveAveragesOptions = {},
): void {
  const { parameters, ema, secondAverage, network, images } = state;
  if (!secondAverage) throw new TypeError("the state must have power-function averages, found one with a half-life");
  const description = JSON.stringify(storedConfig(network, config));
  const parts = [
    [powerWidths.drawn, ema.average.values],
    [powerWidths.other, secondAverage],
  ] as const;
  scope(() => {
    const tensors = new Map(network.namedBuffers());
    for (const [width, flat] of parts) {
      for (const [name, view] of parameters.viewsOf(flat)) tensors.set(`${prefixOf(width)}${name}`, view);
    }
    saveSafetensors(path, tensors, {
      format: AVERAGES_FORMAT,
      ...(temporary && { temporary: "true" }),
      ...(hasAnalytic && { analytic: "true" }),
      network: description,
      averages: JSON.stringify({ images, widths: parts.map(([width]) => width) }),
      training: JSON.stringify(about),
    });
  });
}

/** What a file of averages says about itself. */
export interface StoredAverages {
  /** Path of the file. */
  readonly path: string;
  /** The time of the averages, in images. */
  readonly images: number;
  /** Their widths. */
  readonly widths: readonly [number, number];
  /** The data that {@link saveAverages} stored about the training. */
  readonly about: Readonly<Record<string, unknown>>;
  /** Whether the run's snapshots have something for high noise that is not in the file. */
  readonly hasAnalytic: boolean;
  /** All strings of the file. */
  readonly metadata: Readonly<Record<string, string>>;
}

const isWidth = (value: unknown): boolean => {
  try {
    return powerExponent(value as number) >= 0;
  } catch {
    return false;
  }
};

/**
 * Reads what a file of averages says about itself, without the averages.
 *
 * @throws InputError when the file does not exist, or is another of this program's kinds; FileFormatError when it is damaged or not
 * a safetensors file. Both name it.
 */
export function describeAverages(path: string): StoredAverages {
  const metadata = storedMetadata(path, AVERAGES_FORMAT, WHAT);
  const { images, widths } = Object(metadataField(path, metadata, "averages")) as Record<string, unknown>;
  const isSound =
    Number.isSafeInteger(images) &&
    (images as number) > 0 &&
    Array.isArray(widths) &&
    widths.length === 2 &&
    widths.every(isWidth) &&
    widths[0] !== widths[1];
  if (!isSound)
    throw new FileFormatError(`${path} cannot be used: its "averages" must be a time and two widths; it is damaged`);
  return {
    path,
    images: images as number,
    widths: widths as unknown as [number, number],
    about: Object(metadataField(path, metadata, "training")),
    hasAnalytic: metadata["analytic"] === "true",
    metadata,
  };
}

/** The tensors of a file of averages. */
export interface AverageTensors extends Disposable {
  /** The parameters by name, of each of the widths. */
  readonly averages: readonly [ReadonlyMap<string, Tensor>, ReadonlyMap<string, Tensor>];
  /** The other tensors of the network, which are not averaged. */
  readonly buffers: ReadonlyMap<string, Tensor>;
}

/** Reads the averages themselves. The caller disposes of them. @throws as {@link describeAverages} */
export function loadAverages({ path, widths }: StoredAverages): AverageTensors {
  const { tensors } = openStored(path, AVERAGES_FORMAT, WHAT);
  const [first, second, buffers] = [new Map<string, Tensor>(), new Map<string, Tensor>(), new Map<string, Tensor>()];
  for (const [name, tensor] of tensors) {
    const which = widths.findIndex((width) => name.startsWith(prefixOf(width)));
    if (which < 0) buffers.set(name, tensor);
    else (which === 0 ? first : second).set(name.slice(prefixOf(widths[which] as number).length), tensor);
  }
  return {
    averages: [first, second],
    buffers,
    [Symbol.dispose]() {
      for (const tensor of tensors.values()) tensor.dispose();
    },
  };
}
