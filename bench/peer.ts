/** The peers: Python processes that measure on request. */

import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Device } from "@stf/torch";
import { builtAgainst } from "@stf/torch/installation";
import type { NetworkConfig, Precision } from "stf";
import type { Trainee } from "./trainee.js";

/** The path of one of the peers' programs. */
export const program = (name: string): string => fileURLToPath(new URL(`../peer/${name}.py`, import.meta.url));

/** The first Python that can import torch: STF_BENCH_PYTHON, then python3, then the system's. */
export function findPython(): string | undefined {
  const candidates = [process.env["STF_BENCH_PYTHON"], "python3", "/usr/bin/python3"].filter(
    (name) => name !== undefined,
  );
  return candidates.find((python) => spawnSync(python, ["-c", "import torch"], { stdio: "ignore" }).status === 0);
}

/** The addon links OpenBLAS on OpenMP where the system has it (see native/CMakeLists.txt); the peer gets the same. */
function sameBlas(): Record<string, string> {
  const folder = builtAgainst()?.libraryDir;
  const blas = folder === undefined ? undefined : join(folder, "openblas-openmp");
  return blas !== undefined && existsSync(blas) ? { LD_LIBRARY_PATH: blas } : {};
}

/** The environment of a peer: the processor capability and thread count of this process, and its BLAS. */
export const peerEnvironment = (): NodeJS.ProcessEnv => ({ ...process.env, ...sameBlas() });

/** What a peer reports about itself. */
export interface PeerReport {
  readonly name: string;
  /** The Python that runs it. */
  readonly python: string;
  /** Version of PyTorch. */
  readonly version: string;
  readonly threads: number;
  readonly capability: string;
}

export class Peer {
  /** Its name in the report. */
  readonly name: string;
  /** The Python that runs it. */
  readonly python: string;
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  /** @param args - arguments of the Python process: a program and its arguments */
  constructor(name: string, python: string, args: readonly string[]) {
    this.name = name;
    this.python = python;
    this.#process = spawn(python, args, { env: peerEnvironment() });
    this.#process.stderr.pipe(process.stderr);
    // A peer that has ended is reported by the call that gets no answer.
    this.#process.stdin.on("error", () => {});
    this.#reader = createInterface({ input: this.#process.stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /** Runs a method of the program and returns its answer. */
  async call<T = void>(command: string, args: Record<string, unknown> = {}): Promise<T> {
    this.#process.stdin.write(`${JSON.stringify([command, args])}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.name} ended during "${command}"; its message is above`);
    return JSON.parse(value) as T;
  }

  stop(): void {
    this.#reader.close();
    this.#process.kill();
  }
}

/** The peers that this machine has. */
export class Peers {
  #pytorch: Peer | undefined;
  #published: Peer | undefined;

  constructor() {
    const python = findPython();
    const checkout = process.env["STF_BENCH_PUBLISHED"];
    if (python === undefined) return;
    this.#pytorch = new Peer("PyTorch", python, [program("pytorch")]);
    if (checkout) this.#published = new Peer("the published code", python, [program("published"), checkout]);
  }

  /** PyTorch from Python. */
  get pytorch(): Peer | undefined {
    return this.#pytorch;
  }

  /** The published code. */
  get published(): Peer | undefined {
    return this.#published;
  }

  /** Sets their number of threads and device, and queries what they are. A peer that cannot be started is left out. */
  async hello(threads: number, device: Device): Promise<PeerReport[]> {
    const ask = async (peer: Peer | undefined): Promise<PeerReport | undefined> => {
      if (!peer) return undefined;
      const { name, python } = peer;
      try {
        return {
          name,
          python,
          ...(await peer.call<Omit<PeerReport, "name" | "python">>("hello", { threads, device })),
        };
      } catch (error) {
        console.error(`${(error as Error).message}; nothing is measured against it`);
        return undefined;
      }
    };
    const reports = [await ask(this.#pytorch), await ask(this.#published)];
    if (!reports[0]) this.#pytorch = undefined;
    if (!reports[1]) this.#published = undefined;
    return reports.filter((report) => report !== undefined);
  }

  stop(): void {
    this.#pytorch?.stop();
    this.#published?.stop();
  }
}

/**
 * The largest relative difference of outputs. In bfloat16 most of it is the peer's error: that of the group norm of PyTorch 1.13 in
 * channels_last is 9 %, against 0.5 % for a contiguous group norm.
 */
const tolerances: Readonly<Record<Precision, number>> = { fp32: 1e-4, tf32: 0.02, bf16: 0.15, fp16: 0.02 };

/**
 * Gives a peer our network and weights, and checks that both compute the same: otherwise a comparison of speed
 * is meaningless.
 *
 * @param precision - for a peer that has a choice
 * @throws Error when the outputs differ
 */
export async function sameNetwork(
  peer: Peer,
  ours: Trainee,
  config: NetworkConfig,
  folder: string,
  precision?: Precision,
): Promise<void> {
  const weights = join(folder, "weights.safetensors");
  const inputs = join(folder, "inputs.safetensors");
  ours.saveWeights(weights);
  await peer.call("network", { config, weights, ...(precision && { precision }) });
  const own = ours.output(inputs);
  const theirs = await peer.call<number[]>("output", { inputs });
  const meanSquare = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value ** 2, 0) / values.length;
  const difference = own.map((value, i) => value - (theirs[i] ?? Number.NaN));
  const deviation = Math.sqrt(meanSquare(difference) / meanSquare(theirs));
  if (!(deviation < tolerances[ours.denoiser.precision]))
    throw new Error(`${peer.name} computes something else: the relative difference of the outputs is ${deviation}`);
}
