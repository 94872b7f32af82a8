/** Which of several processes one is, from exactly the variables that each program that starts processes sets. */

import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { UsageError } from "../src/common/errors.js";
import { checkAlone, rankOf, type StartedRank } from "../src/common/ranks.js";
import { firstHost, tasksOn } from "../src/common/slurm.js";

const alone: StartedRank = { rank: 0, size: 1, local: 0, localSize: 1, attempt: 0 };

/** torchrun 1.13 --nnodes=2 --nproc_per_node=2, the second process of the second machine. */
const torchrun = {
  GROUP_RANK: "1",
  GROUP_WORLD_SIZE: "2",
  LOCAL_RANK: "1",
  LOCAL_WORLD_SIZE: "2",
  MASTER_ADDR: "10.0.0.7",
  MASTER_PORT: "29500",
  OMP_NUM_THREADS: "1",
  RANK: "3",
  ROLE_NAME: "default",
  ROLE_RANK: "3",
  ROLE_WORLD_SIZE: "4",
  TORCHELASTIC_ERROR_FILE: "/tmp/torchelastic_g9rm7ib0/none_yljsgx09/attempt_0/1/error.json",
  TORCHELASTIC_MAX_RESTARTS: "0",
  TORCHELASTIC_RESTART_COUNT: "0",
  TORCHELASTIC_RUN_ID: "none",
  TORCHELASTIC_USE_AGENT_STORE: "True",
  WORLD_SIZE: "4",
};

/** mpirun of Open MPI 4.1.4, without what says how its parts talk to each other. */
const openMpi = {
  OMPI_APP_CTX_NUM_PROCS: "2",
  OMPI_COMM_WORLD_LOCAL_RANK: "1",
  OMPI_COMM_WORLD_LOCAL_SIZE: "2",
  OMPI_COMM_WORLD_NODE_RANK: "1",
  OMPI_COMM_WORLD_RANK: "1",
  OMPI_COMM_WORLD_SIZE: "2",
  OMPI_FIRST_RANKS: "0",
  OMPI_MCA_ess_base_jobid: "1608318977",
  OMPI_UNIVERSE_SIZE: "2",
  PMIX_NAMESPACE: "1608318977",
  PMIX_RANK: "1",
  PMIX_VERSION: "4.2.2rc2",
};

/** mpiexec of MPICH 4.0.2. */
const mpich = {
  GFORTRAN_UNBUFFERED_PRECONNECTED: "y",
  HYDI_CONTROL_FD: "7",
  MPIR_CVAR_CH3_INTERFACE_HOSTNAME: "node01",
  MPI_LOCALNRANKS: "2",
  MPI_LOCALRANKID: "1",
  PMI_FD: "8",
  PMI_RANK: "1",
  PMI_SIZE: "2",
};

/** sbatch -N2 -n4 of SLURM 22.05, in the script. */
const batch = {
  SLURMD_NODENAME: "node01",
  SLURM_CPUS_ON_NODE: "3",
  SLURM_GTIDS: "0",
  SLURM_JOBID: "3",
  SLURM_JOB_ID: "3",
  SLURM_JOB_NODELIST: "node[01-02]",
  SLURM_JOB_NUM_NODES: "2",
  SLURM_LOCALID: "0",
  SLURM_NNODES: "2",
  SLURM_NODEID: "0",
  SLURM_NODELIST: "node[01-02]",
  SLURM_NPROCS: "4",
  SLURM_NTASKS: "4",
  SLURM_PROCID: "0",
  SLURM_TASKS_PER_NODE: "3,1",
};

/** srun in that script: the last task of the first machine. */
const srun = {
  ...batch,
  SLURM_LOCALID: "2",
  SLURM_PROCID: "2",
  SLURM_STEPID: "0",
  SLURM_STEP_ID: "0",
  SLURM_STEP_NODELIST: "node[01-02]",
  SLURM_STEP_NUM_NODES: "2",
  SLURM_STEP_NUM_TASKS: "4",
  SLURM_STEP_TASKS_PER_NODE: "3,1",
};

/** The shell of salloc -N2 -n4 where LaunchParameters has use_interactive_step. */
const interactive = {
  ...batch,
  SLURM_STEPID: "4294967290",
  SLURM_STEP_ID: "4294967290",
  SLURM_STEP_NODELIST: "node01",
  SLURM_STEP_NUM_NODES: "1",
  SLURM_STEP_NUM_TASKS: "1",
  SLURM_STEP_TASKS_PER_NODE: "1",
};

/** A worker of Kubeflow's PyTorchJob with one master and three workers. */
const pytorchJob = {
  MASTER_ADDR: "cifar-master-0",
  MASTER_PORT: "23456",
  PET_MASTER_ADDR: "cifar-master-0",
  PET_MASTER_PORT: "23456",
  PET_NNODES: "4",
  PET_NODE_RANK: "2",
  PET_NPROC_PER_NODE: "auto",
  PYTHONUNBUFFERED: "0",
  RANK: "2",
  WORLD_SIZE: "4",
};

describe("a process finds itself", () => {
  const meeting = { host: "localhost", port: 29500, isServed: false };
  test.each<[string, Record<string, string>, StartedRank]>([
    ["without variables", {}, alone],
    ["with empty variables", { RANK: "", WORLD_SIZE: "", OMPI_COMM_WORLD_RANK: "", SLURM_STEP_ID: "" }, alone],
    ["with an address alone", { MASTER_ADDR: "node01", MASTER_PORT: "1234" }, alone],
    [
      "under torchrun, whose agent serves the store",
      torchrun,
      {
        ...{ rank: 3, size: 4, local: 1, localSize: 2, attempt: 0 },
        meeting: { host: "10.0.0.7", port: 29500, isServed: true },
      },
    ],
    [
      "under torchrun --standalone, started again",
      {
        ...torchrun,
        ...{ MASTER_ADDR: "localhost", MASTER_PORT: "39627", TORCHELASTIC_USE_AGENT_STORE: "False" },
        ...{ TORCHELASTIC_RUN_ID: "64b5f532-6778-41a3", TORCHELASTIC_RESTART_COUNT: "2" },
      },
      {
        ...{ rank: 3, size: 4, local: 1, localSize: 2, attempt: 2, job: "torchrun 64b5f532-6778-41a3" },
        meeting: { host: "localhost", port: 39627, isServed: false },
      },
    ],
    ["with the published defaults", { RANK: "0" }, { ...alone, meeting }],
    ["with the published defaults of size 1", { WORLD_SIZE: "1" }, { ...alone, meeting }],
    [
      "with RANK and WORLD_SIZE alone, on a machine of its own",
      { RANK: "1", WORLD_SIZE: "2" },
      { rank: 1, size: 2, local: 0, localSize: 1, attempt: 0, meeting },
    ],
    [
      "with the fewest processes on its machine that its number allows",
      { RANK: "1", WORLD_SIZE: "4", LOCAL_RANK: "1" },
      { rank: 1, size: 4, local: 1, localSize: 2, attempt: 0, meeting },
    ],
    [
      "with IPv6",
      { RANK: "0", WORLD_SIZE: "2", MASTER_ADDR: "[fd00::2]" },
      { rank: 0, size: 2, local: 0, localSize: 1, attempt: 0, meeting: { ...meeting, host: "fd00::2" } },
    ],
    [
      "under stf launch on one machine",
      { RANK: "1", WORLD_SIZE: "2", LOCAL_RANK: "1", LOCAL_WORLD_SIZE: "2", STF_LAUNCHER: "77-ab" },
      { rank: 1, size: 2, local: 1, localSize: 2, attempt: 0, meeting, job: "launch 77-ab" },
    ],
    [
      "under stf launch on two machines, whose launchers have nothing in common",
      { RANK: "1", WORLD_SIZE: "2", LOCAL_RANK: "0", LOCAL_WORLD_SIZE: "1", STF_LAUNCHER: "77-ab" },
      { rank: 1, size: 2, local: 0, localSize: 1, attempt: 0, meeting },
    ],
    [
      "in a PyTorchJob",
      pytorchJob,
      {
        ...{ rank: 2, size: 4, local: 0, localSize: 1, attempt: 0 },
        meeting: { host: "cifar-master-0", port: 23456, isServed: false },
      },
    ],
    [
      "under Open MPI on one machine",
      openMpi,
      {
        ...{ rank: 1, size: 2, local: 1, localSize: 2, attempt: 0, job: "mpi 1608318977" },
        meeting: { host: "127.0.0.1", port: expect.any(Number) as number, isServed: false },
      },
    ],
    [
      "under Open MPI on several machines",
      { ...openMpi, OMPI_COMM_WORLD_SIZE: "4", MASTER_ADDR: "node01", MASTER_PORT: "5000" },
      {
        ...{ rank: 1, size: 4, local: 1, localSize: 2, attempt: 0, job: "mpi 1608318977" },
        meeting: { host: "node01", port: 5000, isServed: false },
      },
    ],
    [
      "under Open MPI in a SLURM job, whose daemons are tasks",
      { ...srun, ...openMpi },
      expect.objectContaining({ rank: 1, size: 2, local: 1, localSize: 2, job: "mpi 1608318977" }) as StartedRank,
    ],
    [
      "under MPICH on one machine",
      mpich,
      { rank: 1, size: 2, local: 1, localSize: 2, attempt: 0, meeting: { ...meeting, host: "127.0.0.1" } },
    ],
    [
      "under MPICH on several machines",
      { ...mpich, PMI_SIZE: "4", PMI_RANK: "3", MASTER_ADDR: "node01" },
      { rank: 3, size: 4, local: 1, localSize: 2, attempt: 0, meeting: { ...meeting, host: "node01" } },
    ],
    [
      "under MPICH in a SLURM job, whose proxies are tasks",
      { ...srun, ...mpich },
      { rank: 1, size: 2, local: 1, localSize: 2, attempt: 0, meeting: { ...meeting, host: "127.0.0.1" } },
    ],
    ["in a batch script of SLURM", batch, alone],
    ["in an interactive shell of SLURM", interactive, alone],
    [
      "under srun",
      srun,
      {
        ...{ rank: 2, size: 4, local: 2, localSize: 3, attempt: 0, job: "slurm 3.0" },
        meeting: { host: "node01", port: 12024, isServed: false },
      },
    ],
    [
      "under srun in a requeued job",
      { ...srun, SLURM_RESTART_COUNT: "1", SLURM_STEP_ID: "1" },
      {
        ...{ rank: 2, size: 4, local: 2, localSize: 3, attempt: 1, job: "slurm 3.1" },
        meeting: { host: "node01", port: 12025, isServed: false },
      },
    ],
    [
      "under srun on the second machine",
      { ...srun, SLURM_NODEID: "1", SLURM_LOCALID: "0", SLURM_PROCID: "3" },
      expect.objectContaining({ rank: 3, size: 4, local: 0, localSize: 1 }) as StartedRank,
    ],
    [
      "under srun --mpi=pmi2, which has PMI's variables, too",
      { ...srun, PMI_FD: "13", PMI_JOBID: "3.0", PMI_RANK: "2", PMI_SIZE: "4", SLURM_MPI_TYPE: "pmi2" },
      expect.objectContaining({ rank: 2, size: 4, local: 2, localSize: 3, job: "slurm 3.0" }) as StartedRank,
    ],
    [
      "under srun with another meeting point",
      { ...srun, MASTER_ADDR: "node02", MASTER_PORT: "4000" },
      expect.objectContaining({ meeting: { host: "node02", port: 4000, isServed: false } }) as StartedRank,
    ],
    [
      "under srun with torchrun inside",
      { ...srun, ...torchrun },
      expect.objectContaining({ rank: 3, size: 4, local: 1 }) as StartedRank,
    ],
  ])("%s", (_, environment, found) => expect(rankOf(environment)).toStrictEqual(found));
});

describe("ports", () => {
  test("of SLURM's jobs differ among a thousand jobs and eight steps each, and lie below those of connections", () => {
    const ports = Array.from({ length: 1000 }, (_, job) =>
      Array.from({ length: 8 }, (_, step) => {
        const environment = { ...srun, SLURM_JOB_ID: String(987_654_000 + job), SLURM_STEP_ID: String(step) };
        return rankOf(environment).meeting?.port as number;
      }),
    ).flat();
    expect(new Set(ports).size).toBe(8000);
    expect(Math.min(...ports)).toBeGreaterThanOrEqual(12000);
    expect(Math.max(...ports)).toBeLessThan(32000);
  });

  test("of Open MPI's jobs are the same for all ranks and differ from job to job", () => {
    const portOf = (namespace: string, rank: string) =>
      rankOf({ ...openMpi, PMIX_NAMESPACE: namespace, OMPI_COMM_WORLD_RANK: rank }).meeting?.port as number;
    const jobs = Array.from({ length: 50 }, (_, i) => `prterun-node01-${4000 + i}@1`);
    for (const job of jobs) expect(portOf(job, "0")).toBe(portOf(job, "1"));
    const ports = jobs.map((job) => portOf(job, "0"));
    expect(new Set(ports).size).toBe(50);
    for (const port of ports) expect(port >= 12000 && port < 32000).toBe(true);
  });
});

describe("a wrong variable is one line that names it", () => {
  const slurmAgain = /SLURM writes/;
  test.each<[Record<string, string | undefined>, RegExp]>([
    [{ RANK: "x", WORLD_SIZE: "2" }, /^the variable RANK must be a whole number of at least 0, found "x"$/],
    [{ RANK: "-1", WORLD_SIZE: "2" }, /variable RANK .*found "-1"/],
    [{ RANK: "1e1", WORLD_SIZE: "20" }, /variable RANK .*found "1e1"/],
    [{ RANK: "0", WORLD_SIZE: "0" }, /variable WORLD_SIZE .*from 1 to 65536, found "0"/],
    [{ RANK: "0", WORLD_SIZE: "9".repeat(20) }, /variable WORLD_SIZE .*found "9{20}"/],
    [{ RANK: "0", WORLD_SIZE: "65537" }, /variable WORLD_SIZE .*from 1 to 65536, found "65537"/],
    [{ RANK: "2", WORLD_SIZE: "2" }, /RANK must be below WORLD_SIZE, found 2 and 2/],
    [{ RANK: "1" }, /RANK must be below WORLD_SIZE, found 1 and 1/],
    [{ WORLD_SIZE: "2" }, /RANK must be set if WORLD_SIZE is above 1/],
    [{ ...torchrun, LOCAL_RANK: "2" }, /LOCAL_RANK must be below LOCAL_WORLD_SIZE, found 2 and 2/],
    [{ RANK: "0", WORLD_SIZE: "2", LOCAL_RANK: "2" }, /LOCAL_RANK must be below WORLD_SIZE, found 2 and 2/],
    [{ ...torchrun, LOCAL_WORLD_SIZE: "5" }, /LOCAL_WORLD_SIZE must be at most WORLD_SIZE, found 5 and 4/],
    [{ ...torchrun, MASTER_PORT: "0" }, /MASTER_PORT must be a whole number from 1 to 65535, found "0"/],
    [{ ...torchrun, MASTER_PORT: "65536" }, /MASTER_PORT .*found "65536"/],
    [{ ...torchrun, MASTER_PORT: "tcp://10.0.0.1:23456" }, /MASTER_PORT .*found "tcp:\/\/10.0.0.1:23456"/],
    [{ ...torchrun, MASTER_ADDR: "node01:29500" }, /MASTER_ADDR must be the name .*found "node01:29500"/],
    [{ ...torchrun, MASTER_ADDR: "tcp://node01" }, /MASTER_ADDR .*found "tcp:\/\/node01"/],
    [{ ...torchrun, MASTER_ADDR: "[node01]" }, /MASTER_ADDR .*found "\[node01\]"/],
    [{ ...torchrun, MASTER_ADDR: "two words" }, /MASTER_ADDR .*found "two words"/],
    [{ ...torchrun, TORCHELASTIC_RESTART_COUNT: "no" }, /TORCHELASTIC_RESTART_COUNT .*found "no"/],
    [
      { ...pytorchJob, PET_NPROC_PER_NODE: "2", WORLD_SIZE: "8" },
      /LOCAL_RANK must be set if PET_NPROC_PER_NODE.*stf launch/,
    ],
    [{ ...openMpi, OMPI_COMM_WORLD_SIZE: undefined }, /OMPI_COMM_WORLD_SIZE must be set if OMPI_COMM_WORLD_RANK is/],
    [
      { ...openMpi, OMPI_COMM_WORLD_RANK: "4" },
      /OMPI_COMM_WORLD_RANK must be below OMPI_COMM_WORLD_SIZE, found 4 and 2/,
    ],
    [{ ...openMpi, OMPI_COMM_WORLD_LOCAL_SIZE: "x" }, /OMPI_COMM_WORLD_LOCAL_SIZE .*found "x"/],
    [
      { ...openMpi, OMPI_COMM_WORLD_SIZE: "4" },
      /MASTER_ADDR must name .*4 processes of Open MPI .*2 are.*-x MASTER_ADDR=/,
    ],
    [{ ...mpich, PMI_SIZE: undefined }, /PMI_SIZE must be set if PMI_RANK is/],
    [{ ...mpich, PMI_SIZE: "4" }, /MASTER_ADDR must name .*4 processes of MPICH .*-genv MASTER_ADDR/],
    [{ PMI_RANK: "0", PMI_SIZE: "2" }, /MASTER_ADDR must name/],
    [{ ...mpich, MPI_LOCALRANKID: "x" }, /MPI_LOCALRANKID .*found "x"/],
    [{ ...srun, SLURM_PROCID: "4" }, /SLURM_PROCID must be below SLURM_STEP_NUM_TASKS, found 4 and 4/],
    [{ ...srun, SLURM_STEP_NUM_TASKS: undefined, SLURM_NTASKS: "x" }, /SLURM_NTASKS .*found "x"/],
    [{ ...srun, SLURM_JOB_ID: undefined }, /SLURM_JOB_ID must be set/],
    [{ ...srun, SLURM_STEP_ID: "x" }, /SLURM_STEP_ID .*found "x"/],
    [{ ...srun, SLURM_STEP_NODELIST: "node[01-" }, slurmAgain],
    [{ ...srun, SLURM_STEP_NODELIST: undefined, SLURM_JOB_NODELIST: undefined }, /SLURM_JOB_NODELIST or MASTER_ADDR/],
    [{ ...srun, SLURM_STEP_TASKS_PER_NODE: "two" }, slurmAgain],
    [{ ...srun, SLURM_RESTART_COUNT: "-" }, /SLURM_RESTART_COUNT .*found "-"/],
  ])("%o", (environment, says) => {
    let message = "";
    try {
      rankOf(environment);
    } catch (error) {
      expect(error).toBeInstanceOf(UsageError);
      message = (error as Error).message;
    }
    expect(message).toMatch(says);
    expect(message).not.toContain("\n");
  });
});

test.each([
  ["node01", "node01"],
  ["node01,node02", "node01"],
  ["gpu[007-010,012]", "gpu007"],
  ["gpu[7]", "gpu7"],
  ["gpu[012,007-010],login", "gpu012"],
  ["rack[1-2]node[01-04],other", "rack1node01"],
  ["n[1-2]-ib.cluster.org,n3", "n1-ib.cluster.org"],
  ["my_node-1.example", "my_node-1.example"],
])("the first machine of %s is %s", (list, host) => expect(firstHost(list, "the list")).toBe(host));

test.each(["", ",", "[", "gpu[", "gpu]", "gpu[]", "gpu[a-b]", "gpu[1-]", "gpu[1-2", "gpu[1[2]]", "a b", "a;b", "/x"])(
  "%j is no list of machines",
  (list) => expect(() => firstHost(list, "the list")).toThrow(/the list must be .*MASTER_ADDR/),
);

test("tasks on a machine", () => {
  const all = (list: string, machines: number) =>
    Array.from({ length: machines }, (_, machine) => tasksOn(list, machine, "the list"));
  expect(all("3,1", 2)).toEqual([3, 1]);
  expect(all("2(x3),1", 5)).toEqual([2, 2, 2, 1, undefined]);
  expect(all("8", 1)).toEqual([8]);
  for (const list of ["", "2(x", "2x3", "2(x3),", "-1"]) expect(() => all(list, 9)).toThrow(/the list must be numbers/);
});

test("a job that cannot be divided says so", () => {
  expect(() => checkAlone("ema", { rank: 0, size: 1, local: 0 })).not.toThrow();
  expect(() => checkAlone("ema", { rank: 0, size: 2, local: 0 })).toThrow(
    /ema cannot divide its work.*one of 2 processes/,
  );
});

describe.skipIf(!existsSync("/usr/bin/torchrun"))("under the torchrun of this machine", () => {
  const compiled = fileURLToPath(new URL("../dist/common/ranks.js", import.meta.url));

  test.each([
    ["its agent's store", [], { host: "127.0.0.1", isServed: true }],
    ["--standalone", ["--standalone"], { host: "localhost", isServed: false }],
  ])("with %s", (_, options, meeting) => {
    const folder = mkdtempSync(join(tmpdir(), "stf-torchrun-"));
    try {
      const script = join(folder, "rank.mjs");
      writeFileSync(
        script,
        `import { writeFileSync } from "node:fs";
         import { rankOf } from ${JSON.stringify(compiled)};
         const found = rankOf();
         writeFileSync(process.argv[2] + "/" + found.rank, JSON.stringify(found));`,
      );
      // Version 1.13 cannot read its own defaults of these two under Python 3.11.
      const ours = ["--redirects=9:1", "--tee=9:1", "--no_python", "--nproc_per_node=2", "--monitor_interval=0.5"];
      const port = 20000 + (process.pid % 9000);
      const where = options.length > 0 ? options : [`--master_port=${port}`];
      const words = [...where, ...ours, process.execPath, script, folder];
      const { status, stderr } = spawnSync("/usr/bin/torchrun", words, { encoding: "utf8" });
      expect(status, stderr).toBe(0);
      const found = [0, 1].map((rank) => JSON.parse(readFileSync(join(folder, String(rank)), "utf8")) as StartedRank);
      for (const [rank, each] of found.entries()) {
        expect(each).toMatchObject({ rank, size: 2, local: rank, localSize: 2, attempt: 0, meeting });
      }
      if (options.length > 0) expect(found[0]?.job).toMatch(/^torchrun [0-9a-f-]{36}$/);
      else expect(found[0]?.meeting?.port).toBe(port);
      expect(found[1]?.job).toBe(found[0]?.job);
      expect(found[1]?.meeting).toEqual(found[0]?.meeting);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
