/** The type of a benchmark, and how it compares. */

import type { Precision } from "stf";
import type { LimitKind, Limits } from "./limits.js";
import { type Budget, type Cost, inTurns, median, ratioOf } from "./measure.js";
import type { Peer } from "./peer.js";
import type { Place } from "./place.js";

/** How a cost is displayed. */
export interface Unit {
  readonly name: string;
  /** The number displayed for a cost. */
  show(cost: number): number;
}

export const milliseconds: Unit = { name: "ms", show: (seconds) => 1e3 * seconds };
export const megabytes: Unit = { name: "MB", show: (bytes) => bytes / 1e6 };
export const imagesPerSecond = (images: number): Unit => ({ name: "images/s", show: (seconds) => images / seconds });
export const gigaflops = (flops: number): Unit => ({ name: "GFLOP/s", show: (seconds) => flops / seconds / 1e9 });

/** One side, its values in the row's unit, round by round. */
export interface Side {
  readonly median: number;
  readonly rounds: readonly number[];
}

/** What ours is compared with. */
export interface Against extends Side {
  readonly what: string;
  /** How many times less ours costs: the median over the rounds. */
  readonly ratio: number;
}

/** One line of the report. */
export interface Row {
  /** Which part of the benchmark it is; left out for the whole. */
  readonly part?: string;
  readonly unit: string;
  readonly ours: Side;
  readonly against?: Against;
  /** Whether it is against a limit, so that the ratio is a fraction of it. */
  readonly isFraction?: boolean;
}

/** The context of every benchmark. */
export interface Bench {
  readonly budget: Budget;
  readonly place: Place;
  /** PyTorch from Python, if available. */
  readonly pytorch: Peer | undefined;
  /** The published code, if there is a checkout. */
  readonly published: Peer | undefined;
  readonly limits: Limits;
  /** For temporary files. */
  readonly folder: string;
}

export interface Benchmark {
  readonly section: string;
  /** Unique; `--only` searches it. */
  readonly name: string;
  /** Whether it belongs to the short run. */
  readonly isShort: boolean;
  run(bench: Bench): Promise<Row[]>;
}

/** One other side of a comparison. */
export interface Opponent {
  readonly what: string;
  readonly cost: Cost;
}

/** How a comparison is made and displayed. */
export interface Comparison {
  readonly unit: Unit;
  readonly ours: Cost;
  readonly against?: readonly (Opponent | undefined)[];
  /** Floating-point operations of one measurement, to be compared with the limit of the machine. */
  readonly flops?: {
    readonly count: number;
    readonly precision: Precision;
    readonly what: string;
    /** The limit in question; the best of this run when left out. */
    readonly limit?: LimitKind;
  };
}

const sideOf = (costs: readonly number[], unit: Unit): Side => {
  const rounds = costs.map(unit.show);
  return { median: median(rounds), rounds };
};

/** Measures ours and all opponents, interleaved, and with `flops` also the limit of the machine. */
export async function compare(bench: Bench, { unit, ours, against = [], flops }: Comparison): Promise<Row[]> {
  const opponents = against.filter((opponent) => opponent !== undefined);
  const { limits } = bench;
  const limit = flops && (flops.limit ? limits.of(flops.limit, flops.precision) : await limits.best(flops.precision));
  const sides = [ours, ...opponents.map(({ cost }) => cost), ...(limit ? [limit.cost] : [])];
  const [own = [], ...others] = await inTurns(sides, bench.budget);
  const row = { unit: unit.name, ours: sideOf(own, unit) };
  const rows: Row[] = opponents.map(({ what }, i) => {
    const costs = others[i] ?? [];
    return { ...row, against: { what, ...sideOf(costs, unit), ratio: ratioOf(own, costs) } };
  });
  if (rows.length === 0) rows.push(row);
  if (limit && flops) {
    const rate = gigaflops(flops.count);
    const theirs = sideOf(others.at(-1) ?? [], gigaflops(limit.flops));
    const reached = sideOf(own, rate);
    const fraction = median(reached.rounds.map((value, round) => value / (theirs.rounds[round] as number)));
    rows.push({
      part: flops.what,
      unit: rate.name,
      ours: reached,
      against: { what: `${limit.what}, interleaved`, ...theirs, ratio: fraction },
      isFraction: true,
    });
  }
  return rows;
}
