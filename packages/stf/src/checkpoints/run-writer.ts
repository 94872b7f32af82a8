import { join } from "node:path";
import { appendLine } from "../common/backlog.js";
import type { NetworkConfig } from "../networks/build.js";
import { STATS_FILE, snapshotPath, statePath } from "../run/files.js";
import type { TrainingWriter } from "../training/loop.js";
import { saveSnapshot } from "./network-file.js";
import { saveState } from "./state-file.js";
import { storedConfig } from "./stored-config.js";

/** What {@link runWriter} stores with every checkpoint. */
export interface RunDescription {
  /** What the network was built from. */
  readonly network: NetworkConfig;
  /** The run's options, as JSON can hold them: with the states. */
  readonly options: Readonly<Record<string, unknown>>;
  /** What is to be known about a network when it draws: with the snapshots. */
  readonly about: Readonly<Record<string, unknown>>;
}

/** Writes into a run folder, which must exist, under the names of `run/files.ts`. */
export function runWriter(folder: string, { network, options, about }: RunDescription): TrainingWriter {
  return {
    check({ network: trained }) {
      storedConfig(trained, network);
    },
    statistics(line) {
      appendLine(join(folder, STATS_FILE), JSON.stringify(line));
    },
    snapshot(state) {
      const path = snapshotPath(folder, state.images);
      saveSnapshot(path, state, network, about);
      return path;
    },
    state(state) {
      const path = statePath(folder, state.images);
      saveState(path, state, network, options);
      return path;
    },
  };
}
