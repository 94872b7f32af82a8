/** The printed table, and the numbers behind it. */

import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { arch, cpus, platform, release, totalmem } from "node:os";
import { type Device, engineReport } from "@stf/torch";
import { bfloat16Support } from "@stf/torch/installation";
import type { Benchmark, Row } from "./benchmark.js";
import type { PeerReport } from "./peer.js";
import type { Place } from "./place.js";

/** Widths of the columns after the name's. */
const [NAME, OURS, THEIRS, RATIO] = [60, 16, 10, 8];

const format = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

const columns = (name: string, ours: string, theirs: string, ratio: string, against: string): string =>
  `${name.padEnd(NAME)}${ours.padStart(OURS)}${theirs.padStart(THEIRS)}${ratio.padStart(RATIO)}  ${against}`.trimEnd();

export const heading = columns("", "ours", "theirs", "ratio", "against");

/** One line of the table. */
function line(name: string, { unit, ours, against, isFraction }: Row): string {
  const { median = undefined, ratio = 0, what = "" } = against ?? {};
  const shown = isFraction ? `${(100 * ratio).toFixed(0)} %` : `${format(ratio)}x`;
  return columns(
    name,
    `${format(ours.median)} ${unit}`,
    median === undefined ? "" : format(median),
    against ? shown : "",
    what,
  );
}

/** The lines of a benchmark; the first one has its name. */
export const lines = (name: string, rows: readonly Row[]): string[] =>
  rows.map((row, i) => line(i === 0 ? name : row.part ? `  ${row.part}` : "", row));

/** A GPU's name and driver as nvidia-smi reports them. */
function gpuName(device: Device): string {
  const query = [
    `--id=${/:(\d+)$/.exec(device)?.[1] ?? 0}`,
    "--query-gpu=name,driver_version,memory.total",
    "--format=csv,noheader",
  ];
  return spawnSync("nvidia-smi", query, { encoding: "utf8" }).stdout?.split("\n")[0]?.trim() || "unknown GPU";
}

/** The machine that the numbers were measured on. */
export interface Machine {
  /** The device that was measured. */
  readonly device: string;
  readonly processor: string;
  readonly processors: number;
  readonly memory: number;
  readonly system: string;
  readonly bfloat16: ReturnType<typeof bfloat16Support>;
  readonly node: string;
  readonly engine: ReturnType<typeof engineReport>;
}

export const machine = (device: Device): Machine => ({
  device: device === "cpu" ? device : `${device}: ${gpuName(device)}`,
  processor: cpus()[0]?.model.trim() ?? "unknown",
  processors: cpus().length,
  memory: totalmem(),
  system: `${platform()} ${release()} ${arch()}`,
  bfloat16: bfloat16Support(),
  node: process.version,
  engine: engineReport(),
});

type Heading = Pick<Benchmark, "section" | "name">;

/** All results of a run. */
export class Report {
  readonly machine: Machine;
  readonly #peers: readonly PeerReport[];
  readonly #rows: (Row & Heading)[] = [];
  readonly #failures: (Heading & { readonly message: string })[] = [];

  constructor(peers: readonly PeerReport[], { device }: Place) {
    this.machine = machine(device);
    this.#peers = peers;
  }

  /** What was measured, on what, and against what. */
  introduction(): string[] {
    const { device, processor, engine, bfloat16, node } = this.machine;
    const own = `${device === "cpu" ? "" : `${device}, `}${processor}, ${engine.threads} threads, libtorch ${engine.version}, ${engine.cpuCapability}, bfloat16: ${bfloat16}, Node ${node}`;
    const peers = this.#peers.map(
      ({ name, version, python, threads, capability }) =>
        `against ${name}: PyTorch ${version} of ${python}, ${threads} threads, ${capability}`,
    );
    const none = "against nothing: no Python here can import torch; name one with STF_BENCH_PYTHON";
    return [own, ...(peers.length > 0 ? peers : [none])];
  }

  add({ section, name }: Benchmark, rows: readonly Row[]): void {
    this.#rows.push(...rows.map((row) => ({ section, name, ...row })));
  }

  addFailure({ section, name }: Benchmark, message: string): void {
    this.#failures.push({ section, name, message });
  }

  save(path: string): void {
    const content = { machine: this.machine, peers: this.#peers, rows: this.#rows, failures: this.#failures };
    writeFileSync(path, `${JSON.stringify(content, undefined, 2)}\n`);
  }
}
