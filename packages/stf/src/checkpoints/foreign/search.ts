/** Searches the contents of a PyTorch file for networks, and for averages of their weights. */

import { FileFormatError, type PickleValue, StoredTensor } from "@stf/torch";
import { averagesBeside, type Candidate, isAverageName, networksAmong, withParameters } from "./candidates.js";
import { attributesOf, type Construction, describe, mapOf, networkIn, type StoredNetwork } from "./stored-network.js";

/** A network in a PyTorch file. */
export interface StoredCandidate extends Candidate<StoredTensor> {
  readonly construction?: Construction | undefined;
}

/** The contents of a file. */
export interface Searched {
  readonly networks: readonly StoredCandidate[];
  /** Averages of weights that could not be matched to a network's names. */
  readonly unread: readonly string[];
}

/** Real checkpoints are flat; deeper and larger ones are made to waste time. */
const MOST_LEVELS = 6;
const MOST_VALUES = 100_000;

/** Lightning's averaging stores the average in the weights' position, and the weights under these keys. */
const WEIGHTS_BESIDE_AVERAGE = "current_model_state";

interface List {
  readonly place: readonly string[];
  readonly tensors: readonly StoredTensor[];
}

const isStored = (value: PickleValue): value is StoredTensor => value instanceof StoredTensor;

/** All networks in a value, in the order of the file. @throws FileFormatError when there is none, and a damaged module */
export function searchNetworks(root: PickleValue): Searched {
  const networks: StoredCandidate[] = [];
  const lists: List[] = [];
  const unread: string[] = [];
  const failures: FileFormatError[] = [];
  /** A damaged module elsewhere in the file does no harm. */
  const networkOf = (value: PickleValue): StoredNetwork | undefined => {
    try {
      return networkIn(value);
    } catch (error) {
      if (!(error instanceof FileFormatError)) throw error;
      failures.push(error);
      return undefined;
    }
  };
  const seen = new Set<PickleValue>();
  const visit = (value: PickleValue, place: readonly string[]): void => {
    if (place.length > MOST_LEVELS || seen.size >= MOST_VALUES || seen.has(value)) return;
    if (typeof value !== "object" || value === null || isStored(value)) return;
    seen.add(value);
    if (Array.isArray(value)) {
      const tensors = value.filter(isStored);
      if (tensors.length > 0 && tensors.length === value.length) lists.push({ place, tensors });
      else for (const [i, item] of value.entries()) visit(item, [...place, String(i)]);
      return;
    }
    const stored = networkOf(value);
    if (stored) {
      const found = networksAmong(stored.tensors, place).map((network) => ({
        ...network,
        construction: stored.construction,
      }));
      networks.push(...found);
      unread.push(...averagesBeside(stored.tensors, found).map((name) => [...place, name].join(".")));
      if (found.length === 0 && isAverageName(place)) unread.push(place.join("."));
    }
    for (const [key, item] of mapOf(value) ?? attributesOf(value) ?? []) visit(item, [...place, describe(key)]);
  };
  visit(root, []);
  if (networks.length === 0 && failures[0]) throw failures[0];
  const trained = networks.filter(({ isAveraged }) => !isAveraged);
  for (const { place, tensors } of lists.filter((list) => isAverageName(list.place))) {
    const found = trained.map((network) => withParameters(network, tensors, place)).find((network) => network);
    if (found) networks.push(found);
    else unread.push(place.join("."));
  }
  const isReplaced = mapOf(root)?.has(WEIGHTS_BESIDE_AVERAGE) === true;
  const marked = networks.map((network) =>
    isReplaced && network.place[0] === "state_dict" ? { ...network, isAveraged: true } : network,
  );
  return { networks: marked, unread };
}
