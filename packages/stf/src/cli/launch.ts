import { type ChildProcess, spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { LAUNCHER } from "../common/ranks.js";
import { wasToIgnoreHangups } from "./hangups.js";
import { beginWork } from "./output.js";

/** Time for a process to end after another has failed. */
const GRACE_MILLISECONDS = 10_000;

const main = fileURLToPath(new URL("./main.js", import.meta.url));

/** The environment of each process, under torchrun's names. */
function environmentOf(rank: number, count: number): NodeJS.ProcessEnv {
  // Together they use each processor core once.
  const threads = Math.max(1, Math.floor(availableParallelism() / count));
  return {
    MASTER_ADDR: "127.0.0.1",
    MASTER_PORT: "29500",
    OMP_NUM_THREADS: String(threads),
    ...process.env,
    RANK: String(rank),
    LOCAL_RANK: String(rank),
    WORLD_SIZE: String(count),
    [LAUNCHER]: String(process.pid),
  };
}

/** What a process that could not speak for itself ended by. */
function describeEnd(rank: number, count: number, signal: NodeJS.Signals): string {
  const reason = signal === "SIGKILL" ? ", as the system does when memory runs out: start fewer, or lower --batch" : "";
  return `process ${rank + 1} of ${count} was ended by ${signal}${reason}; the others are ended, too`;
}

/**
 * Runs a command of this program in several processes at once; the first has the terminal. When one fails, the others
 * are ended.
 *
 * @returns the exit code of the first that failed, else 0
 */
export async function launch(count: number, words: readonly string[]): Promise<number> {
  const children: ChildProcess[] = [];
  let failure = 0;
  const endAll = (signal: NodeJS.Signals): void => {
    for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill(signal);
  };
  // Separate process groups keep Ctrl-C from arriving twice, because a second one would end the processes at once.
  let isStopping = false;
  const forward = (signal: NodeJS.Signals): void => {
    isStopping = true;
    endAll(signal);
  };
  const signals = (["SIGINT", "SIGTERM", "SIGHUP"] as const).filter(
    (signal) => signal !== "SIGHUP" || !wasToIgnoreHangups(),
  );
  beginWork();
  for (const signal of signals) process.on(signal, forward);
  try {
    const ended = Array.from({ length: count }, (_, rank) => {
      const child = spawn(process.execPath, [main, ...words], {
        env: environmentOf(rank, count),
        stdio: ["ignore", rank === 0 ? "inherit" : "ignore", "inherit"],
        detached: true,
      });
      children.push(child);
      return new Promise<void>((resolve, reject) => {
        child.on("error", reject);
        child.on("close", (code, signal) => {
          if (signal !== null && failure === 0 && !isStopping)
            console.error(`stf: ${describeEnd(rank, count, signal)}`);
          if (code !== 0 && failure === 0) {
            failure = code ?? 1;
            if (!isStopping) {
              endAll("SIGTERM");
              setTimeout(() => endAll("SIGKILL"), GRACE_MILLISECONDS).unref();
            }
          }
          resolve();
        });
      });
    });
    await Promise.all(ended);
    return failure;
  } finally {
    for (const signal of signals) process.off(signal, forward);
  }
}
