import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readSafetensorsMetadata } from "@stf/torch";
import { appendLine } from "../common/backlog.js";
import type { NetworkConfig } from "../networks/build.js";
import { averagesPath, type CheckpointKind, STATS_FILE, snapshotPath, stampedNames, statePath } from "../run/files.js";
import type { CheckpointFacts, TrainingWriter } from "../training/loop.js";
import type { TrainingState } from "../training/state.js";
import { saveAverages } from "./averages-file.js";
import { saveSnapshot } from "./network-file.js";
import { saveState } from "./state-file.js";
import type { StoredAnalytic } from "./stored-analytic.js";
import { storedConfig } from "./stored-config.js";

/** Data that {@link runWriter} stores with every checkpoint. */
export interface RunDescription {
  /** The configuration of the network. */
  readonly network: NetworkConfig;
  /** The run's options, JSON-serializable: stored with training states. */
  readonly options: Readonly<Record<string, unknown>>;
  /** What else has been decided so far, JSON-serializable: stored with the options. Called for each state. */
  readonly decided?: () => Readonly<Record<string, unknown>>;
  /** Data about the network for later drawing: stored with snapshots and averages. */
  readonly about: Readonly<Record<string, unknown>>;
  /** What replaces a network at high noise: stored with snapshots. Called for each of them; nothing when left out. */
  readonly analyticOf?: ((state: TrainingState, isTemporary: boolean) => StoredAnalytic) | undefined;
}

/** Number of temporary files of a kind that are kept, so that there is an earlier one if the latest is damaged. */
const KEPT = 2;

/** The files of a kind that may be removed once there are later ones. */
class TemporaryFiles {
  readonly #paths: string[];

  /** Takes over those left by an earlier process of the run. */
  constructor(folder: string, kind: CheckpointKind) {
    const paths = stampedNames(readdirSync(folder), kind).map((name) => join(folder, name));
    this.#paths = paths.filter(isTemporary);
  }

  /** Adds a file just written. */
  add(path: string, { temporary }: CheckpointFacts): void {
    const known = this.#paths.indexOf(path);
    if (known >= 0) this.#paths.splice(known, 1);
    if (temporary) this.#paths.push(path);
    for (const old of this.#paths.splice(0, this.#paths.length - KEPT)) rmSync(old, { force: true });
  }
}

/** Whether a file is marked as temporary; a damaged one counts as not marked. */
function isTemporary(path: string): boolean {
  try {
    return readSafetensorsMetadata(path)["temporary"] === "true";
  } catch {
    return false;
  }
}

/** Writes into a run folder, which must exist, under the names of `run/files.ts`. */
export function runWriter(
  folder: string,
  { network, options, decided, about, analyticOf }: RunDescription,
): TrainingWriter {
  const snapshots = new TemporaryFiles(folder, "network-snapshot");
  const averages = new TemporaryFiles(folder, "averages");
  const states = new TemporaryFiles(folder, "training-state");
  return {
    check({ network: trained }) {
      storedConfig(trained, network);
    },
    statistics(line) {
      appendLine(join(folder, STATS_FILE), JSON.stringify(line));
    },
    snapshot(state, facts) {
      const { temporary, loss, lowestLoss } = facts;
      const path = snapshotPath(folder, state.images);
      const described = { ...about, loss, lowestLoss };
      // Before the snapshot, without which the whole is reported as missing. Before the first step there is no average.
      if (state.secondAverage && state.images > 0) {
        const beside = averagesPath(folder, state.images);
        saveAverages(beside, state, network, described, { temporary, hasAnalytic: analyticOf !== undefined });
        averages.add(beside, facts);
      }
      const analytic = analyticOf?.(state, temporary);
      saveSnapshot(path, state, network, described, { temporary, analytic });
      snapshots.add(path, facts);
      return path;
    },
    state(state, facts) {
      const path = statePath(folder, state.images);
      saveState(path, state, network, { ...options, ...decided?.() }, facts);
      states.add(path, facts);
      return path;
    },
  };
}
