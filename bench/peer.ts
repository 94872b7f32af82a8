/** PyTorch as the peer: a Python process that measures on request. */

import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import { builtAgainst } from "@stf/torch/installation";

const server = fileURLToPath(new URL("../peer/server.py", import.meta.url));

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

export class Peer {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;

  /** Starts `python` with the processor capability and thread count of this process, and with its BLAS. */
  constructor(python: string) {
    this.#process = spawn(python, [server], { env: { ...process.env, ...sameBlas() } });
    this.#process.stderr.pipe(process.stderr);
    this.#reader = createInterface({ input: this.#process.stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
  }

  /** Runs a method of the server and returns its answer. */
  async call<T>(command: string, args: Record<string, unknown> = {}): Promise<T> {
    this.#process.stdin.write(`${JSON.stringify([command, args])}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`the peer ended during "${command}"; its message is above`);
    return JSON.parse(value) as T;
  }

  stop(): void {
    this.#reader.close();
    this.#process.kill();
  }
}
