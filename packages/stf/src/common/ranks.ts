/** Which of several processes this one is, and where they meet: read from the variables that each program that starts processes sets. */

import {
  checkAtMost,
  checkBelow,
  type Environment,
  HIGHEST_PORT,
  hostOf,
  numberOf,
  required,
  textOf,
} from "./environment.js";
import { UsageError } from "./errors.js";
import { firstHost, tasksOn } from "./slurm.js";

/**
 * The variable by which `stf launch` tells a process who started it: the number of the launcher's process, a hyphen, and
 * what no other launcher has.
 */
export const LAUNCHER = "STF_LAUNCHER";

/** One process among several that divide their work. */
export interface Rank {
  /** From 0 to size - 1. */
  readonly rank: number;
  /** Number of processes. */
  readonly size: number;
  /** Number of the process on its machine, and of its GPU. */
  readonly local: number;
}

/** Where processes meet before they can talk to each other. */
export interface Meeting {
  /** Name or address of a machine: that of rank 0, unless {@link isServed}. */
  readonly host: string;
  /** From 1 to 65535. */
  readonly port: number;
  /** Whether a TCPStore already answers there, that of torchrun's agent: then rank 0 must not open one. */
  readonly isServed: boolean;
}

/** A process as its starter describes it. */
export interface StartedRank extends Rank {
  /**
   * Number of processes on this machine; where the starter does not say, the fewest that there can be. Above {@link local},
   * at most {@link size}.
   */
  readonly localSize: number;
  /** How often the processes have been started again after a failure: 0 at first. */
  readonly attempt: number;
  /** Undefined for a process that nothing started as one of several. */
  readonly meeting?: Meeting;
  /** The same text in all processes of a job and in no other job; undefined where the starter has none. */
  readonly job?: string;
}

/** Where the published code meets if no variable says otherwise. */
const PUBLISHED_HOST = "localhost";
/** See {@link PUBLISHED_HOST}. */
export const PUBLISHED_PORT = 29500;
/** Processes of one job: each of them asks for every other one twice a second. */
export const MOST_PROCESSES = 65_536;
/** The address of the machine itself. */
export const LOOPBACK = "127.0.0.1";
/** Ports below those that systems give to connections, which begin at 32768 on Linux. */
const FIRST_PORT = 12000;
const PORTS = 20000;
/** Steps of one SLURM job that get ports of their own. */
const STEPS = 8;
/** Numbers of steps from here on stand for what is not started by srun: batch scripts, interactive shells. */
const FIRST_SPECIAL_STEP = 0xfffffff0;
/** How many processes Kubeflow's PyTorchJob expects in each pod: a number, or a word where the program in it decides. */
const POD_PROCESSES = "PET_NPROC_PER_NODE";
/** torchrun's name for a job that was given none. */
const UNNAMED_RUN = "none";

/** The part of `count` items, in order, that one of several processes works on. */
export function partOf(
  count: number,
  { rank, size }: Pick<Rank, "rank" | "size">,
): { readonly first: number; readonly end: number } {
  return { first: Math.floor((rank * count) / size), end: Math.floor(((rank + 1) * count) / size) };
}

/**
 * @param what - name of the job
 * @throws UsageError when this is one of several processes, each of which would do all the work
 */
export function checkAlone(what: string, { size }: Rank = rankOf()): void {
  if (size === 1) return;
  throw new UsageError(
    `${what} cannot divide its work, and was started as one of ${size} processes, which would all do the same; start it once, without stf launch, torchrun, mpirun or srun`,
  );
}

/** Where MASTER_ADDR says that processes meet. */
export const hostGiven = (environment: Environment): string | undefined => {
  const text = textOf(environment, "MASTER_ADDR");
  return text === undefined ? undefined : hostOf(text, "the variable MASTER_ADDR");
};

/** Where MASTER_PORT says that processes meet. */
export const portGiven = (environment: Environment): number | undefined =>
  numberOf(environment, "MASTER_PORT", { least: 1, most: HIGHEST_PORT });

/** The numbers of a process, which its starter's variables must not contradict. */
interface Numbers extends Rank {
  readonly localSize: number;
}

/** The numbers of a process by the names of its starter. */
function numbersOf(
  environment: Environment,
  names: { readonly rank: string; readonly size: string; readonly local: string; readonly localSize: string },
): Numbers {
  const rank = required(environment, names.rank, names.size);
  const size = required(environment, names.size, names.rank, { least: 1, most: MOST_PROCESSES });
  checkBelow([names.rank, rank], [names.size, size]);
  const local = numberOf(environment, names.local) ?? 0;
  checkBelow([names.local, local], [names.size, size]);
  const localSize = numberOf(environment, names.localSize, { least: 1 }) ?? local + 1;
  checkAtMost([names.localSize, localSize], [names.size, size]);
  checkBelow([names.local, local], [names.localSize, localSize]);
  return { rank, size, local, localSize };
}

/** torchrun, `stf launch`, Kubernetes, and whatever else sets RANK and WORLD_SIZE. */
function fromTorchrun(environment: Environment): StartedRank {
  const size = numberOf(environment, "WORLD_SIZE", { least: 1, most: MOST_PROCESSES }) ?? 1;
  if (size > 1 && textOf(environment, "RANK") === undefined) {
    throw new UsageError("the variable RANK must be set if WORLD_SIZE is above 1; unset both for a single process");
  }
  const perPod = textOf(environment, POD_PROCESSES);
  if (Number(perPod) > 1 && size > 1 && textOf(environment, "LOCAL_RANK") === undefined) {
    throw new UsageError(
      `the variable LOCAL_RANK must be set if ${POD_PROCESSES} is above 1, because RANK then counts pods and WORLD_SIZE processes; start the processes of each pod with stf launch or torchrun`,
    );
  }
  const numbers = numbersOf(
    { ...environment, RANK: textOf(environment, "RANK") ?? "0", WORLD_SIZE: String(size) },
    { rank: "RANK", size: "WORLD_SIZE", local: "LOCAL_RANK", localSize: "LOCAL_WORLD_SIZE" },
  );
  const run = textOf(environment, "TORCHELASTIC_RUN_ID");
  const launcher = numbers.localSize === size ? textOf(environment, LAUNCHER) : undefined;
  const job = run !== undefined && run !== UNNAMED_RUN ? `torchrun ${run}` : launcher && `launch ${launcher}`;
  return {
    ...numbers,
    attempt: numberOf(environment, "TORCHELASTIC_RESTART_COUNT") ?? 0,
    meeting: {
      host: hostGiven(environment) ?? PUBLISHED_HOST,
      port: portGiven(environment) ?? PUBLISHED_PORT,
      isServed: environment["TORCHELASTIC_USE_AGENT_STORE"] === "True",
    },
    ...(job !== undefined && { job }),
  };
}

/** A port that processes of one job agree on and those of other jobs rarely have. */
function portOf(job: string): number {
  let hash = 0;
  for (const character of job) hash = (31 * hash + (character.codePointAt(0) ?? 0)) % PORTS;
  return FIRST_PORT + hash;
}

/** Processes of an MPI, which tells each where it is, but not where the first one is. */
function fromMpi(environment: Environment, starter: string, numbers: Numbers, job?: string): StartedRank {
  const isOneMachine = numbers.localSize === numbers.size;
  const host = hostGiven(environment) ?? (isOneMachine ? LOOPBACK : undefined);
  if (host === undefined) {
    throw new UsageError(
      `the variable MASTER_ADDR must name the machine of rank 0 for ${numbers.size} processes of ${starter} of which ${numbers.localSize} are on this machine, found none; set it for all of them, as with mpirun ${starter === "Open MPI" ? "-x MASTER_ADDR=node01" : "-genv MASTER_ADDR node01"}`,
    );
  }
  const port = portGiven(environment) ?? (job === undefined ? PUBLISHED_PORT : portOf(job));
  return { ...numbers, attempt: 0, meeting: { host, port, isServed: false }, ...(job !== undefined && { job }) };
}

function fromOpenMpi(environment: Environment): StartedRank {
  const [rank, size] = ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"] as const;
  const [local, localSize] = ["OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE"] as const;
  const namespace = textOf(environment, "PMIX_NAMESPACE");
  const numbers = numbersOf(environment, { rank, size, local, localSize });
  return fromMpi(environment, "Open MPI", numbers, namespace && `mpi ${namespace}`);
}

function fromMpich(environment: Environment): StartedRank {
  const [rank, size] = ["PMI_RANK", "PMI_SIZE"] as const;
  const [local, localSize] = ["MPI_LOCALRANKID", "MPI_LOCALNRANKS"] as const;
  return fromMpi(environment, "MPICH", numbersOf(environment, { rank, size, local, localSize }));
}

/** A process that srun started: batch scripts and interactive shells of SLURM have its variables, too, but are alone. */
function fromSlurm(environment: Environment): StartedRank {
  const sizeName = textOf(environment, "SLURM_STEP_NUM_TASKS") === undefined ? "SLURM_NTASKS" : "SLURM_STEP_NUM_TASKS";
  const listName =
    textOf(environment, "SLURM_STEP_NODELIST") === undefined ? "SLURM_JOB_NODELIST" : "SLURM_STEP_NODELIST";
  const machine = numberOf(environment, "SLURM_NODEID") ?? 0;
  const tasks = textOf(environment, "SLURM_STEP_TASKS_PER_NODE");
  const here = tasks && tasksOn(tasks, machine, "the variable SLURM_STEP_TASKS_PER_NODE");
  const numbers = numbersOf(
    { ...environment, SLURM_STEP_TASKS_PER_NODE: here === undefined ? undefined : String(here) },
    { rank: "SLURM_PROCID", size: sizeName, local: "SLURM_LOCALID", localSize: "SLURM_STEP_TASKS_PER_NODE" },
  );
  const jobNumber = required(environment, "SLURM_JOB_ID", "SLURM_STEP_ID");
  const step = required(environment, "SLURM_STEP_ID", "SLURM_PROCID");
  const list = textOf(environment, listName);
  const host = hostGiven(environment) ?? (list === undefined ? undefined : firstHost(list, `the variable ${listName}`));
  if (host === undefined) {
    throw new UsageError(`the variable ${listName} or MASTER_ADDR must be set if SLURM_STEP_ID is, found neither`);
  }
  const port = portGiven(environment) ?? FIRST_PORT + ((STEPS * jobNumber + (step % STEPS)) % PORTS);
  return {
    ...numbers,
    attempt: numberOf(environment, "SLURM_RESTART_COUNT") ?? 0,
    meeting: { host, port, isServed: false },
    job: `slurm ${jobNumber}.${step}`,
  };
}

function isSlurmTask(environment: Environment): boolean {
  const step = textOf(environment, "SLURM_STEP_ID");
  return (
    step !== undefined && !(Number(step) >= FIRST_SPECIAL_STEP) && textOf(environment, "SLURM_PROCID") !== undefined
  );
}

/**
 * Which of several processes this one is. The first of these that finds its variables decides: torchrun, `stf launch` and
 * Kubernetes (`RANK`, `WORLD_SIZE`); Open MPI (`OMPI_COMM_WORLD_RANK`); MPICH and Intel MPI (`PMI_RANK`); SLURM's srun
 * (`SLURM_STEP_ID`, `SLURM_PROCID`). Without any of them it is alone. `MASTER_ADDR` and `MASTER_PORT` say where
 * processes meet, whoever started them; docs/distributed.md has the defaults.
 *
 * @param environment - the variables; those of this process when left out
 * @throws UsageError when variables are invalid or contradict each other
 */
export function rankOf(environment: Environment = process.env): StartedRank {
  const isSet = (name: string): boolean => textOf(environment, name) !== undefined;
  if (isSet("RANK") || isSet("WORLD_SIZE")) return fromTorchrun(environment);
  if (isSet("OMPI_COMM_WORLD_RANK")) return fromOpenMpi(environment);
  // srun --mpi=pmi2 sets PMI_RANK, too, but not the rank on the machine.
  if (isSet("PMI_RANK") && (isSet("MPI_LOCALRANKID") || !isSlurmTask(environment))) return fromMpich(environment);
  if (isSlurmTask(environment)) return fromSlurm(environment);
  return { rank: 0, size: 1, local: 0, localSize: 1, attempt: 0 };
}
