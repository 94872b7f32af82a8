import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readSafetensorsMetadata } from "@stf/torch";
import { appendLine } from "../common/backlog.js";
import type { NetworkConfig } from "../networks/build.js";
import { STATS_FILE, snapshotPath, stampedNames, statePath } from "../run/files.js";
import type { CheckpointFacts, TrainingWriter } from "../training/loop.js";
import type { TrainingState } from "../training/state.js";
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
  /** Data about the network for later drawing: stored with snapshots. */
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
  constructor(folder: string, kind: "training-state" | "network-snapshot") {
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
  const [snapshots, states] = [
    new TemporaryFiles(folder, "network-snapshot"),
    new TemporaryFiles(folder, "training-state"),
  ];
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
      const analytic = analyticOf?.(state, temporary);
      saveSnapshot(path, state, network, { ...about, loss, lowestLoss }, { temporary, analytic });
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
