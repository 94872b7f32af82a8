import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { availableParallelism, constants } from "node:os";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { LAUNCHER } from "../common/ranks.js";
import { wasToIgnoreHangups } from "./hangups.js";
import { GRACE_MILLISECONDS } from "./launcher-link.js";
import { beginWork } from "./output.js";
import { copyLines } from "./rank-lines.js";

const main = fileURLToPath(new URL("./main.js", import.meta.url));

/** The processes of a job, of which one launcher starts those of its machine. */
export interface LaunchPlan {
  /** Processes on each machine. */
  readonly nproc: number;
  /** Machines. */
  readonly nnodes: number;
  /** The number of this machine, from 0. */
  readonly nodeRank: number;
  /** The machine of rank 0. */
  readonly host: string;
  /** Where the processes meet on it; a free port of this machine when undefined. */
  readonly port: number | undefined;
}

/** A port that nobody uses, which another program may take before the processes do. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** The environment of each process, under torchrun's names. */
async function environmentsOf({ nproc, nnodes, nodeRank, host, port }: LaunchPlan): Promise<NodeJS.ProcessEnv[]> {
  // A torchrun around this one speaks of other processes.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("TORCHELASTIC_"));
  // Together they use each processor core once.
  const threads = Math.max(1, Math.floor(availableParallelism() / nproc));
  const shared = {
    OMP_NUM_THREADS: String(threads),
    ...Object.fromEntries(inherited),
    MASTER_ADDR: host,
    MASTER_PORT: String(port ?? (await freePort())),
    WORLD_SIZE: String(nnodes * nproc),
    LOCAL_WORLD_SIZE: String(nproc),
    [LAUNCHER]: `${process.pid}-${randomBytes(8).toString("hex")}`,
  };
  return Array.from({ length: nproc }, (_, local) => ({
    ...shared,
    RANK: String(nodeRank * nproc + local),
    LOCAL_RANK: String(local),
  }));
}

/** What a process that could not speak for itself ended by. */
function describeEnd(rank: string, signal: NodeJS.Signals): string {
  const reason = signal === "SIGKILL" ? ", as the system does when memory runs out: start fewer, or lower --batch" : "";
  return `rank ${rank} was ended by ${signal}${reason}; the other processes are ended, too`;
}

/** Processes that end together. */
class Ranks {
  readonly #children: ChildProcess[] = [];
  readonly #ended: Promise<void>[] = [];
  /** The exit code of the first that failed, else 0. */
  failure = 0;
  /** The first signal that was passed on: from then on it is no failure that they end. */
  #stoppedBy: NodeJS.Signals | undefined;
  /** Whether one has failed, for which all are ended. */
  #isFailed = false;

  start(env: NodeJS.ProcessEnv, words: readonly string[]): void {
    const rank = env["RANK"] as string;
    const isFirst = rank === "0";
    // In a session of its own it gets Ctrl-C only once, from here: a second one would end it at once.
    const child = spawn(process.execPath, [main, ...words], {
      env,
      stdio: ["ignore", ...(isFirst ? (["inherit", "inherit"] as const) : (["pipe", "pipe"] as const)), "pipe"],
      detached: true,
    });
    this.#children.push(child);
    if (!isFirst) {
      copyLines(child.stdout as Readable, process.stdout, `[rank ${rank}] `);
      copyLines(child.stderr as Readable, process.stderr, `[rank ${rank}] `);
    }
    child.on("exit", (code, signal) => this.#onExit(rank, code, signal));
    this.#ended.push(
      new Promise((resolve, reject) => {
        child.on("error", reject);
        child.on("close", () => resolve());
      }),
    );
  }

  #onExit(rank: string, code: number | null, signal: NodeJS.Signals | null): void {
    if (code === 0) return;
    const stopped = this.#stoppedBy && 128 + constants.signals[this.#stoppedBy];
    this.failure ||= code ?? stopped ?? 1;
    const hasStopped = stopped !== undefined && (code === null || code > 128);
    if (hasStopped || this.#isFailed) return;
    this.#isFailed = true;
    // A second signal would end at once those that have had one.
    if (stopped === undefined) {
      if (signal !== null) console.error(`stf: ${describeEnd(rank, signal)}`);
      this.end("SIGTERM");
    }
    setTimeout(() => this.end("SIGKILL"), GRACE_MILLISECONDS).unref();
  }

  /** Sends a signal to all that are alive. */
  end(signal: NodeJS.Signals): void {
    for (const child of this.#children) {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    }
  }

  /** Passes a signal on to all; the second Ctrl-C ends them at once. */
  stop(signal: NodeJS.Signals): void {
    const isAgain = signal === "SIGINT" && this.#stoppedBy === "SIGINT";
    this.#stoppedBy ??= signal;
    this.end(isAgain ? "SIGKILL" : signal);
    if (isAgain) console.error("interrupted twice: stopped at once");
  }

  /** Resolves when all have ended and all that they wrote has been copied. */
  async wait(): Promise<void> {
    await Promise.all(this.#ended);
  }
}

/**
 * Runs a command of this program in several processes at once, which end together. The first has the terminal, and lines of
 * the others are marked with their rank.
 *
 * @returns the exit code of the first that failed, else 0; 128 and the signal's number if one stopped them
 */
export async function launch(plan: LaunchPlan, words: readonly string[]): Promise<number> {
  const environments = await environmentsOf(plan);
  const ranks = new Ranks();
  const stop = (signal: NodeJS.Signals): void => ranks.stop(signal);
  const signals = (["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"] as const).filter(
    (signal) => signal !== "SIGHUP" || !wasToIgnoreHangups(),
  );
  beginWork();
  // What ended this command while it was loaded.
  process.removeAllListeners("SIGUSR1");
  // To the end: schedulers repeat signals, and a late one must not replace the exit code.
  for (const signal of signals) process.on(signal, stop);
  try {
    for (const environment of environments) ranks.start(environment, words);
    await ranks.wait();
    return ranks.failure;
  } finally {
    ranks.end("SIGKILL");
  }
}
