import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readSafetensorsMetadata } from "@stf/torch";
import { appendLine } from "../common/backlog.js";
import type { NetworkConfig } from "../networks/build.js";
import {
  averagesPath,
  type CheckpointKind,
  imagesInPath,
  STATS_FILE,
  snapshotPath,
  stampedNames,
  statePath,
} from "../run/files.js";
import { SoundStates } from "../run/history.js";
import { superfluousStates } from "../run/retention.js";
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
  /** Number of training states that are kept, of those that ticks ask for, before they become fewer; all when left out. */
  readonly keep?: number | undefined;
  /** What replaces a network at high noise: stored with snapshots. Called for each of them; nothing when left out. */
  readonly analyticOf?: ((state: TrainingState, isTemporary: boolean) => StoredAnalytic) | undefined;
}

/** Number of temporary files of a kind that are kept, so that there is an earlier one if the latest is damaged. */
const KEPT = 2;

/** The files of a kind in a run folder, of which some are removed once there are later ones. */
class KeptFiles {
  readonly #latest: number;
  /** Those saved because of elapsed time. */
  #temporary: readonly string[];
  /** The others. */
  #regular: readonly string[];

  /**
   * Takes over the files of an earlier process of the run.
   *
   * @param latest - number of the others that are kept before they become fewer
   */
  constructor(folder: string, kind: CheckpointKind, latest: number) {
    const paths = stampedNames(readdirSync(folder), kind).map((name) => join(folder, name));
    this.#latest = latest;
    this.#temporary = paths.filter(isTemporary);
    this.#regular = paths.filter((path) => !this.#temporary.includes(path));
  }

  /**
   * Adds a file just written, and removes those that it makes superfluous.
   *
   * @param needed - one that stays in any case
   */
  add(path: string, facts: CheckpointFacts, needed?: string): void {
    // The run may have been taken back to an earlier state.
    const earlier = (paths: readonly string[]): string[] =>
      paths.filter((own) => imagesInPath(own) < imagesInPath(path));
    const temporary = [...earlier(this.#temporary), ...(facts.temporary ? [path] : [])];
    const regular = [...earlier(this.#regular), ...(facts.temporary ? [] : [path])];
    const superfluous = superfluousStates(regular.map(imagesInPath), this.#latest);
    const isKept = (own: string): boolean => !superfluous.includes(imagesInPath(own));
    const latest = temporary.slice(-KEPT);
    this.#temporary = temporary.filter((own) => own === needed || latest.includes(own));
    this.#regular = regular.filter((own) => own === needed || isKept(own));
    for (const old of temporary) if (!this.#temporary.includes(old)) rmSync(old, { force: true });
    for (const old of regular) if (!this.#regular.includes(old)) rmSync(old, { force: true });
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
  { network, options, decided, about, keep = Number.POSITIVE_INFINITY, analyticOf }: RunDescription,
): TrainingWriter {
  const snapshots = new KeptFiles(folder, "network-snapshot", Number.POSITIVE_INFINITY);
  const averages = new KeptFiles(folder, "averages", Number.POSITIVE_INFINITY);
  const states = new KeptFiles(folder, "training-state", keep);
  const sound = new SoundStates(folder);
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
      // Without it there would be no way back from a divergence that takes longer to show than two saves.
      states.add(path, facts, sound.paths()[0]);
      return path;
    },
  };
}
