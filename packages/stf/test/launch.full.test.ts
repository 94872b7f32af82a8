/** `stf launch`: what its processes are told, one log, and that they live and die together. */

import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { noGrad, scope } from "@stf/torch";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { saveNetwork } from "../src/checkpoints/network-file.js";
import { wasToIgnoreHangups } from "../src/cli/hangups.js";
import { copyLines } from "../src/cli/rank-lines.js";
import { rankOf } from "../src/common/ranks.js";
import { buildDenoiser, type NetworkConfig } from "../src/networks/build.js";
import { commandIn, type Started } from "./cli-support.js";
import { normals } from "./support.js";

const compiled = (name: string): string => fileURLToPath(new URL(`../dist/${name}`, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "stf-launch-"));
const { start, stf, expectFailure, killAll } = commandIn(folder);
const at = (...names: string[]): string => join(folder, ...names);

beforeAll(() => {
  const config: NetworkConfig = {
    arch: "ddpmpp",
    precond: "edm",
    shape: { channels: 3, height: 8, width: 8 },
    modelChannels: 8,
    channelMult: [1],
    numBlocks: 1,
    attnResolutions: [],
    dropout: 0,
  };
  const denoiser = buildDenoiser(config);
  noGrad(() => {
    for (const [i, parameter] of denoiser.parameters().entries()) {
      scope(() => parameter.copy_(normals(parameter.shape, 700 + i, "float32").mul(0.1)));
    }
  });
  saveNetwork(at("net.safetensors"), denoiser, config, {});
  denoiser.dispose();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Ranks whose launcher is gone, so that killing it is not enough. */
const ranks = new Set<number>();
afterEach(() => {
  killAll();
  for (const rank of ranks) if (isAlive(rank)) process.kill(rank, "SIGKILL");
  ranks.clear();
});

/** A drawing that takes minutes. */
const endless = (outdir: string): string[] => [
  ...["generate", "--network=net.safetensors", "--seeds=0-3999", "--batch=4", "--sampler=pc", "--steps=20"],
  `--outdir=${outdir}`,
];

/** Whether a process runs: one that is dead and whose end nobody has asked for does not. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s*Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

function childrenOf({ pid }: ChildProcess): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);
  for (const child of children) ranks.add(child);
  return children;
}

const environmentOf = (pid: number): Record<string, string> =>
  Object.fromEntries(
    readFileSync(`/proc/${pid}/environ`, "utf8")
      .split("\0")
      .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
  );

/** Waits until none of the processes runs. */
async function end(pids: readonly number[], seconds: number): Promise<void> {
  const until = performance.now() + 1000 * seconds;
  while (pids.some(isAlive) && performance.now() < until) await setTimeout(50);
  expect(pids.filter(isAlive)).toEqual([]);
}

/** Processes that draw, and have begun to. */
async function drawing(
  outdir: string,
  options: readonly string[] = ["--nproc=2"],
  env: Record<string, string> = {},
): Promise<Started & { pids: number[] }> {
  const started = start(["launch", ...options, "--", ...endless(outdir)], env);
  await started.saying(/4 of \d+ images/);
  return { ...started, pids: childrenOf(started.child) };
}

/** The variables of processes that wait for those of other machines. */
async function told(outdir: string, options: readonly string[], env: Record<string, string>) {
  const { child } = start(["launch", ...options, "--", ...endless(outdir)], env);
  // Before a process has loaded its program, it has the launcher's variables.
  const environments = () => childrenOf(child).map(environmentOf);
  while (environments().filter((each) => each["STF_LAUNCHER"] !== undefined).length < 2) await setTimeout(50);
  return environments();
}

describe("what processes are told", () => {
  test("on one machine: their rank, and a free port to meet at", async () => {
    const first = await drawing("told", ["--nproc=2"], { TORCHELASTIC_USE_AGENT_STORE: "True", OMP_NUM_THREADS: "" });
    const second = await drawing("untold", ["--nproc=2"], { MASTER_PORT: "4711" });
    const found = first.pids.map((pid) => rankOf(environmentOf(pid)));
    for (const [rank, each] of found.entries()) {
      expect(each).toMatchObject({ rank, size: 2, local: rank, localSize: 2, attempt: 0 });
      expect(each.meeting).toMatchObject({ host: "127.0.0.1", isServed: false });
      expect(each.job).toMatch(new RegExp(`^launch ${first.child.pid}-[0-9a-f]{16}$`));
    }
    expect(found[1]?.job).toBe(found[0]?.job);
    expect(found[1]?.meeting).toEqual(found[0]?.meeting);
    const others = second.pids.map((pid) => rankOf(environmentOf(pid)));
    expect(others.map(({ meeting }) => meeting?.port)).toEqual([4711, 4711]);
    expect(others[0]?.job).not.toBe(found[0]?.job);
    expect(found[0]?.meeting?.port).not.toBe(4711);
  });

  test("on several machines: what torchrun would say", async () => {
    const options = ["--nproc=2", "--nnodes=3", "--node-rank=1", "--master-addr=node01"];
    const environments = await told("second", options, { MASTER_PORT: "29400" });
    expect(environments.map((each) => [each["RANK"], each["LOCAL_RANK"]])).toEqual([
      ["2", "0"],
      ["3", "1"],
    ]);
    for (const environment of environments) {
      expect(rankOf(environment)).toMatchObject({ size: 6, localSize: 2, meeting: { host: "node01", port: 29400 } });
    }
  });

  test("in a pod of a PyTorchJob, whose variables mean pods", async () => {
    const pod = { PET_NNODES: "2", PET_NODE_RANK: "0", PET_NPROC_PER_NODE: "2", RANK: "0", WORLD_SIZE: "4" };
    const environments = await told("pod", [], { ...pod, MASTER_ADDR: "job-master-0", MASTER_PORT: "23456" });
    expect(environments.map((each) => rankOf(each))).toMatchObject([
      { rank: 0, size: 4, localSize: 2, meeting: { host: "job-master-0", port: 23456 } },
      { rank: 1, size: 4, localSize: 2, meeting: { host: "job-master-0", port: 23456 } },
    ]);
  });

  test.each([
    [["--nproc=0"], /--nproc must be a whole number of at least 1, found "0"/],
    [["--nproc=1000"], /--nproc must be at most \d+ on this machine/],
    [["--nnodes=x"], /--nnodes must be .*found "x"/],
    [["--nnodes=2", "--master-addr=node01"], /--node-rank must be the number of this machine, from 0 to 1/],
    [["--nnodes=2", "--node-rank=2", "--master-addr=a"], /--node-rank must be a whole number from 0 to 1, found "2"/],
    [["--node-rank=1"], /--node-rank must be a whole number from 0 to 0/],
    [["--nnodes=2", "--node-rank=0"], /--master-addr must name the machine with --node-rank=0/],
    [["--master-addr=a:1"], /--master-addr must be the name .*found "a:1"/],
    [["--master-port=0"], /--master-port must be a whole number from 1 to 65535, found "0"/],
  ])("%o is wrong", (options, says) => expectFailure(2, ["launch", ...options, "--", "generate"], says));

  test("torchrun's spellings are understood", () =>
    expectFailure(
      2,
      ["launch", "--nproc_per_node=2", "--nnodes=2", "--node_rank=2", "--master_addr=a", "--", "generate"],
      /--node-rank must be a whole number from 0 to 1, found "2"/,
    ));

  test("an option that is not one of launch is told where it belongs, unless it is", async () => {
    await expectFailure(2, ["launch", "--nproc=2", "train", "--data=x"], /'--data=x'; options .* come after "--"/);
    await expectFailure(2, ["launch", "--nprocs=2", "--", "train"], /^stf: unknown option '--nprocs=2'(?!.*after)/);
  });

  test("commands that do not divide their work are refused", () =>
    expectFailure(2, ["launch", "--", "ema"], /launch runs train, generate, .*analyze, found "ema"/));
});

describe("one log", () => {
  const copied = async (chunks: readonly (string | Buffer)[], isTTY = false): Promise<string> => {
    const source = new PassThrough();
    const sink = Object.assign(new PassThrough(), { isTTY });
    copyLines(source, sink as unknown as NodeJS.WriteStream, "[rank 1] ");
    for (const chunk of chunks) source.write(chunk);
    source.end();
    await new Promise((resolve) => source.on("close", resolve));
    sink.end();
    return Buffer.concat(await sink.toArray()).toString();
  };

  test("has whole lines, however they arrive", async () => {
    expect(await copied([])).toBe("");
    expect(await copied(["one\ntw", "o\n", "\nlast"])).toBe("[rank 1] one\n[rank 1] two\n[rank 1] \n[rank 1] last\n");
    const bytes = Buffer.from("grün\n");
    expect(await copied([bytes.subarray(0, 3), bytes.subarray(3)])).toBe("[rank 1] grün\n");
  });

  test("does not wait for the end of a line that has none", async () => {
    const text = await copied(["x".repeat(70_000), "y".repeat(10), "\n"]);
    expect(text).toBe(`[rank 1] ${"x".repeat(70_000)}\n[rank 1] ${"y".repeat(10)}\n`);
  });

  test("removes the status line of a terminal first", async () =>
    expect(await copied(["one\n"], true)).toBe("\r\x1b[K[rank 1] one\n"));

  test("names the ranks, but for the first", async () => {
    const { code, stdout, stderr } = await stf(["launch", "--nproc=3", "--", "generate", "--seeds=x"]);
    expect([code, stdout]).toEqual([2, ""]);
    // Those that are not there yet when the first fails are ended before they say anything.
    const lines = stderr.trimEnd().split("\n");
    for (const line of lines) expect(line).toMatch(/^(\[rank [12]\] )?stf: --seeds/);
    expect(new Set(lines).size).toBe(lines.length);
  });
});

describe("they end together", () => {
  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGUSR1", 138],
  ] as const)("%s for the launcher stops each once, and all is kept", async (signal, expected) => {
    const { child, ended, pids } = await drawing(signal);
    child.kill(signal);
    const { code, stdout, stderr } = await ended;
    expect([code, stderr]).toEqual([expected, ""]);
    expect(stdout).toMatch(/stopped; the same command draws the rest/);
    expect(pids.filter(isAlive)).toEqual([]);
  });

  test.skipIf(wasToIgnoreHangups())("SIGHUP, too", async () => {
    const { child, ended } = await drawing("hangup");
    child.kill("SIGHUP");
    expect(await ended).toMatchObject({ code: 129, stderr: "" });
  });

  test("a signal before they are loaded", async () => {
    const { child, ended } = start(["launch", "--nproc=2", "--", ...endless("early")]);
    while (childrenOf(child).length === 0) await setTimeout(5);
    child.kill("SIGTERM");
    expect(await ended).toMatchObject({ code: 143 });
  });

  test("the second Ctrl-C kills them at once", async () => {
    const { child, ended, pids } = await drawing("twice");
    // They cannot answer.
    for (const pid of pids) process.kill(pid, "SIGSTOP");
    child.kill("SIGINT");
    await setTimeout(300);
    expect(pids.filter(isAlive)).toEqual(pids);
    child.kill("SIGINT");
    expect(await ended).toMatchObject({ code: 130, stderr: "interrupted twice: stopped at once\n" });
    expect(pids.filter(isAlive)).toEqual([]);
  });

  test("when one fails, others that do not stop are killed", async () => {
    const { ended, pids } = await drawing("deaf");
    process.kill(pids[0] as number, "SIGSTOP");
    const before = performance.now();
    process.kill(pids[1] as number, "SIGKILL");
    const { code, stderr } = await ended;
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^stf: rank 1 was ended by SIGKILL, .*--batch.*\n$/)]);
    expect(performance.now() - before).toBeGreaterThan(9_000);
    expect(pids.filter(isAlive)).toEqual([]);
  });

  test("when the launcher is killed", async () => {
    const { child, pids } = await drawing("orphans");
    child.kill("SIGKILL");
    await end(pids, 15);
    // They stopped as after SIGTERM: no file is half written.
    expect(readdirSync(at("orphans")).filter((name) => name.includes("partial"))).toEqual([]);
  });

  test("when the launcher is killed and they are in a call that takes minutes", async () => {
    const busy = `
      import { watchLauncher } from ${JSON.stringify(compiled("cli/launcher-link.js"))};
      process.on("SIGTERM", () => {});
      watchLauncher();
      process.send("ready");
      setTimeout(() => { for (;;); }, 100);`;
    writeFileSync(at("busy.mjs"), busy);
    const launcher = `
      import { spawn } from "node:child_process";
      const env = { ...process.env, STF_LAUNCHER: process.pid + "-0" };
      const stdio = ["ignore", "ignore", "inherit", "pipe", "ipc"];
      const child = spawn(process.execPath, [${JSON.stringify(at("busy.mjs"))}], { env, stdio, detached: true });
      child.on("message", () => console.log(child.pid));`;
    writeFileSync(at("launcher.mjs"), launcher);
    const child = spawn(process.execPath, [at("launcher.mjs")], { stdio: ["ignore", "pipe", "inherit"] });
    const pid = await new Promise<number>((resolve) => child.stdout.on("data", (text) => resolve(Number(text))));
    ranks.add(pid);
    await setTimeout(1000);
    expect(isAlive(pid)).toBe(true);
    child.kill("SIGKILL");
    await end([pid], 15);
  });

  test("one that is started after its launcher's end ends at once", async () => {
    // Nobody has the number of this process but itself.
    const orphan = await stf(["generate", "--seeds=x"], { STF_LAUNCHER: "1-0", RANK: "0", WORLD_SIZE: "1" });
    expect([orphan.code, orphan.stdout, orphan.stderr]).toEqual([143, "", ""]);
  });
});

/** Two processes as each program starts them, but for the names of machines, which are not known here. */
const starters: [string, (rank: number) => Record<string, string>][] = [
  ["RANK and WORLD_SIZE", (rank) => ({ RANK: `${rank}`, WORLD_SIZE: "2" })],
  [
    "mpirun of Open MPI",
    (rank) => ({
      ...{ OMPI_COMM_WORLD_RANK: `${rank}`, OMPI_COMM_WORLD_SIZE: "2", PMIX_NAMESPACE: "1608318977" },
      ...{ OMPI_COMM_WORLD_LOCAL_RANK: `${rank}`, OMPI_COMM_WORLD_LOCAL_SIZE: "2" },
    }),
  ],
  [
    "mpiexec of MPICH",
    (rank) => ({ PMI_RANK: `${rank}`, PMI_SIZE: "2", MPI_LOCALRANKID: `${rank}`, MPI_LOCALNRANKS: "2" }),
  ],
  [
    "srun on two machines",
    (rank) => ({
      ...{ SLURM_JOB_ID: "4711", SLURM_JOB_NODELIST: "gpu[01-02]", SLURM_STEP_ID: "0", SLURM_STEP_NUM_TASKS: "2" },
      ...{ SLURM_PROCID: `${rank}`, SLURM_LOCALID: "0", SLURM_NODEID: `${rank}`, SLURM_STEP_NODELIST: "gpu[01-02]" },
      ...{ SLURM_STEP_TASKS_PER_NODE: "1(x2)", SLURM_NTASKS: "2", MASTER_ADDR: "127.0.0.1" },
    }),
  ],
  [
    "an indexed job of Kubernetes",
    (rank) => ({
      ...{ JOB_COMPLETION_INDEX: `${rank}`, KUBERNETES_SERVICE_HOST: "10.96.0.1" },
      ...{ RANK: `${rank}`, WORLD_SIZE: "2", MASTER_ADDR: "127.0.0.1", MASTER_PORT: "29500" },
    }),
  ],
  [
    "a PyTorchJob",
    (rank) => ({
      ...{ RANK: `${rank}`, WORLD_SIZE: "2", MASTER_ADDR: "127.0.0.1", MASTER_PORT: "23456" },
      ...{ PET_NNODES: "2", PET_NODE_RANK: `${rank}`, PET_NPROC_PER_NODE: "auto", PYTHONUNBUFFERED: "0" },
    }),
  ],
];

describe("two processes draw what one draws, started by", () => {
  const options = ["generate", "--network=net.safetensors", "--seeds=0-5", "--steps=2", "--batch=1"];
  const read = (path: string): string[] =>
    readdirSync(at(path))
      .filter((name) => name.endsWith(".png"))
      .sort()
      .map((name) => `${name} ${readFileSync(at(path, name)).toString("base64")}`);

  beforeAll(async () => {
    expect((await stf([...options, "--outdir=alone"])).code).toBe(0);
  });

  test.each(starters)("%s", async (name, variables) => {
    const outdir = name.replaceAll(" ", "-");
    const ended = await Promise.all([0, 1].map((rank) => stf([...options, `--outdir=${outdir}`], variables(rank))));
    expect(ended).toEqual([
      { code: 0, stdout: expect.stringMatching(/images in/), stderr: "" },
      { code: 0, stdout: "", stderr: "" },
    ]);
    expect(read(outdir)).toEqual(read("alone"));
  });

  test("stf launch on two machines", async () => {
    const machine = (nodeRank: number) =>
      stf([
        ...["launch", "--nproc=1", "--nnodes=2", `--node-rank=${nodeRank}`, "--master-addr=127.0.0.1", "--"],
        ...[...options, "--outdir=machines"],
      ]);
    const ended = await Promise.all([machine(0), machine(1)]);
    expect(ended.map(({ code, stderr }) => [code, stderr])).toEqual([
      [0, ""],
      [0, ""],
    ]);
    expect(read("machines")).toEqual(read("alone"));
  });

  test.skipIf(!existsSync("/usr/bin/torchrun"))("torchrun", () => {
    const ours = ["--redirects=9:1", "--tee=9:1", "--monitor_interval=0.5"];
    const words = ["--standalone", "--no_python", "--nproc_per_node=2", process.execPath, compiled("cli/main.js")];
    const all = [...ours, ...words, ...options, "--outdir=torchrun"];
    const { status, stderr } = spawnSync("/usr/bin/torchrun", all, { cwd: folder, encoding: "utf8" });
    expect(status, stderr).toBe(0);
    expect(read("torchrun")).toEqual(read("alone"));
  });
});
