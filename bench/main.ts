/**
 * `npm run bench`: the project's benchmark. Ours against PyTorch computing the same thing, against the published
 * code if STF_BENCH_PUBLISHED names a checkout of it, and against the limits of the machine: interleaved in one run, with
 * equal threads and processor capability. Prints a table; README.md describes the flags.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { engineReport } from "@stf/torch";
import { UsageError } from "stf";
import type { Bench, Benchmark } from "./benchmark.js";
import { type Flags, parseFlags } from "./flags.js";
import { Limits } from "./limits.js";
import type { Budget } from "./measure.js";
import { Peers } from "./peer.js";
import { type Place, placeOf } from "./place.js";
import { printProfile } from "./profile.js";
import { heading, lines, Report } from "./report.js";
import { benchmarks, chosen } from "./rows/index.js";

const shortBudget: Budget = { seconds: 2, least: 2, most: 9 };
const fullBudget: Budget = { seconds: 10, least: 3, most: 15 };

/** A row that fails is reported, and does not prevent the others from being measured. */
async function measure(benchmarks: readonly Benchmark[], bench: Bench, report: Report, json?: string): Promise<void> {
  for (const line of [...report.introduction(), heading]) console.log(line);
  let section = "";
  for (const benchmark of benchmarks) {
    if (benchmark.section !== section) console.log(`\n${benchmark.section}`);
    section = benchmark.section;
    try {
      const rows = await benchmark.run(bench);
      report.add(benchmark, rows);
      for (const line of lines(benchmark.name, rows)) console.log(line);
    } catch (error) {
      const { message } = error as Error;
      report.addFailure(benchmark, message);
      console.log(`${benchmark.name} failed: ${message}`);
      process.exitCode = 1;
    }
    // A long run that is interrupted keeps its results so far.
    if (json !== undefined) report.save(json);
  }
}

/** Peers and temporary files are removed afterwards, whatever happens. */
async function run(flags: Flags, place: Place): Promise<void> {
  const asked = chosen(benchmarks(place), flags);
  const peers = new Peers();
  const folder = mkdtempSync(join(tmpdir(), "stf-bench-"));
  try {
    const budget = flags.full ? fullBudget : shortBudget;
    const report = new Report(await peers.hello(engineReport().threads, place.device), place);
    const { pytorch, published } = peers;
    await measure(asked, { budget, place, limits: new Limits(place), folder, pytorch, published }, report, flags.json);
  } finally {
    peers.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

function printNames(flags: Flags, place: Place): void {
  for (const { name, isShort } of chosen(benchmarks(place), { ...flags, full: true })) {
    console.log(`${isShort ? "short" : "full "}  ${name}`);
  }
}

try {
  const flags = parseFlags(process.argv.slice(2));
  const place = placeOf(flags.device);
  if (flags.profile) printProfile(flags.profile, flags.precision, place);
  else if (flags.list) printNames(flags, place);
  else await run(flags, place);
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`bench: ${error.message}`);
  process.exitCode = 2;
}
