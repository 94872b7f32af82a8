/** What goes wrong with several processes: each fault ends in one line for everybody, or in nothing at all. */

import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Command, commandIn, type Ended, type Started } from "./cli-support.js";
import { freePort, type RankOptions, startRanks } from "./ranks-support.js";
import { blobs, idxBytes } from "./support.js";

let folder: string;
let command: Command;
let runs = 0;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "stf-faults-"));
  command = commandIn(folder);
  const bank = blobs(64, 8);
  const bytes = idxBytes([64, 8, 8], bank.pixels.toTypedArray() as Uint8Array);
  writeFileSync(join(folder, "spots-images-idx3-ubyte"), bytes);
  bytes[200] = (bytes[200] as number) ^ 1;
  writeFileSync(join(folder, "other-images-idx3-ubyte"), bytes);
  bank.dispose();
});

afterAll(() => {
  command.killAll();
  rmSync(folder, { recursive: true, force: true });
});

const training = [
  ...["train", "--data=spots-images-idx3-ubyte", "--preset=published", "--outdir=runs", "--seed=1", "--augment=0"],
  ...["--cbase=8", "--cres=1,2", "--num-blocks=1", "--attn=4", "--batch=16", "--stf", "--rbatch=32"],
  ...["--tick=0.016", "--snap=1000", "--dump=1000", "--save-every=0", "--duration=10"],
];

/** Waits that end soon. Seconds. */
const impatient = { STF_SILENCE_SECONDS: "6", STF_JOIN_SECONDS: "12", STF_LAG_SECONDS: "8" };

function start(size: number, { args = () => [], env = () => ({}), port }: RankOptions = {}): Promise<Started[]> {
  const name = `--name=run${runs++}`;
  return startRanks(command, size, [...training, name], {
    args,
    env: (rank) => ({ ...impatient, ...env(rank) }),
    ...(port !== undefined && { port }),
  });
}

/** A process that does not end within a minute hangs. */
const endOf = ({ ended }: Started): Promise<Ended | "hangs"> =>
  Promise.race([ended, setTimeout(60_000, "hangs" as const, { ref: false })]);

/** How all end. What hangs is killed. */
async function ends(started: readonly Started[]): Promise<(Ended | "hangs")[]> {
  const all = await Promise.all(started.map(endOf));
  command.killAll();
  return all;
}

const expectLine = (ended: Ended | "hangs" | undefined, code: number, line: RegExp): void => {
  if (ended === undefined || ended === "hangs") throw new Error("a process hangs");
  expect(ended.stderr).toMatch(/^stf: [^\n]+\n$/);
  expect(ended.stderr).toMatch(line);
  expect(ended.code).toBe(code);
};

const training1 = (ranks: readonly Started[]): Promise<void> => (ranks[0] as Started).saying(/kimg/);
const kill = (rank: Started | undefined, signal: NodeJS.Signals): void => void rank?.child.kill(signal);

test("a noise level that is found during the training is found for all", { timeout: 240_000 }, async () => {
  const bank = blobs(512, 8);
  const name = "many-images-idx3-ubyte";
  writeFileSync(join(folder, name), idxBytes([512, 8, 8], bank.pixels.toTypedArray() as Uint8Array));
  bank.dispose();
  const options = [
    ...["train", `--data=${name}`, "--preset=published", "--outdir=runs", "--seed=1", "--augment=0", "--precond=ve"],
    ...["--cbase=8", "--cres=1,2", "--num-blocks=1", "--attn=4", "--batch=64", "--lr-rampup=0", "--lr=1e-4"],
    ...["--analytic=2", "--train-below=auto", "--tick=10", "--duration=0.0046"],
  ];
  const [alone] = await ends([command.start([...options, "--name=alone"])]);
  const shared = await ends(await startRanks(command, 2, [...options, "--name=shared"]));
  for (const ended of [alone, ...shared]) expect((ended as Ended).stderr).toBe("");
  const found = /noise +after \d+ images the network is trained on (.*)/;
  const line = found.exec((alone as Ended).stdout)?.[0];
  expect(line).toBeDefined();
  expect(found.exec((shared[0] as Ended).stdout)?.[0]).toBe(line);
  const losses = ["alone", "shared"].map(
    (run) =>
      readFileSync(join(folder, "runs", run, "stats.jsonl"), "utf8")
        .trim()
        .split("\n")
        .map((text) => (JSON.parse(text) as { "Loss/loss": { mean: number } })["Loss/loss"].mean)
        .at(-1) as number,
  );
  expect((losses[0] as number) / (losses[1] as number)).toBeCloseTo(1, 4);
});

describe("a process is lost", { timeout: 120_000 }, () => {
  for (const [lost, size] of [
    [1, 2],
    [0, 2],
    [1, 3],
    [3, 4],
  ] as const) {
    test(`rank ${lost} of ${size} is killed`, async () => {
      const ranks = await start(size);
      await training1(ranks);
      kill(ranks[lost], "SIGKILL");
      for (const [rank, ended] of (await ends(ranks)).entries()) {
        if (rank !== lost) expectLine(ended, 1, new RegExp(`rank ${lost} \\(process \\d+ on .*\\) is gone`));
      }
    });
  }

  for (const stopped of [0, 1]) {
    test(`rank ${stopped} is stopped`, async () => {
      const ranks = await start(2);
      await training1(ranks);
      kill(ranks[stopped], "SIGSTOP");
      const ended = await endOf(ranks[1 - stopped] as Started);
      kill(ranks[stopped], "SIGKILL");
      expectLine(ended, 1, new RegExp(`rank ${stopped} \\(process \\d+ on .*(silent|not answered).*stopped or killed`));
    });
  }

  test("rank 1 is killed while rank 0 prepares", async () => {
    const ranks = await start(2);
    await setTimeout(2500);
    kill(ranks[1], "SIGKILL");
    const [first] = (await ends(ranks)) as Ended[];
    // It may have come before, or not.
    expect(first?.stderr).toMatch(
      /^(stf: waiting for rank 1 [^\n]+\n)?stf: rank 1 [^\n]*(is gone|silent|did not come)[^\n]+\n$/,
    );
    expect(first?.code).toBe(1);
  });

  test("rank 1 lives, but does not come", async () => {
    const script = fileURLToPath(new URL("lagging-rank.mjs", import.meta.url));
    const port = String(await freePort());
    const texts = await Promise.all(
      ["0", "1"].map(
        (rank) =>
          new Promise<string>((resolve) => {
            execFile(process.execPath, [script, rank, port], (_error, text) => resolve(text));
          }),
      ),
    );
    expect(texts[0]).toMatch(/TeamError: rank 1 \(process \d+ on .*\) lives, but has not come .*for 5 s/);
    expect(texts[1]).toMatch(/TeamError: rank 1 \(process .*lives, but has not come/);
  });
});

test("a process that cannot stop is killed when the others have failed for it", { timeout: 120_000 }, async () => {
  const launched = command.start(["launch", "--nproc=2", "--", ...training, "--name=launched"], impatient);
  await training1([launched]);
  const pids = readFileSync(`/proc/${launched.child.pid}/task/${launched.child.pid}/children`, "utf8");
  const second = pids
    .split(" ")
    .find((pid) => pid !== "" && readFileSync(`/proc/${pid}/environ`, "utf8").includes("\0RANK=1\0"));
  process.kill(Number(second), "SIGSTOP");
  kill(launched, "SIGTERM");
  const ended = await endOf(launched);
  if (ended === "hangs") process.kill(Number(second), "SIGKILL");
  expectLine(ended, 1, /rank 1 \(process \d+ on .*silent/);
});

describe("a process is asked to stop", { timeout: 120_000 }, () => {
  for (const [rank, signal, code] of [
    [0, "SIGINT", 130],
    [1, "SIGTERM", 143],
    [1, "SIGUSR1", 138],
  ] as const) {
    test(`${signal} at rank ${rank} saves once and stops all`, async () => {
      const ranks = await start(2);
      await training1(ranks);
      kill(ranks[rank], signal);
      const all = (await ends(ranks)) as Ended[];
      expect(all.map((each) => each.stderr)).toEqual(["", ""]);
      expect(all[rank]?.code).toBe(code);
      expect(all[0]?.stdout).toMatch(/stopped after \d+ images; saved/);
    });
  }
});

describe("they do not come together", { timeout: 120_000 }, () => {
  test("rank 1 never comes", async () => {
    const [first] = await start(1, { env: () => ({ WORLD_SIZE: "2" }) });
    const [ended] = (await ends([first as Started])) as [Ended];
    expect(ended.stderr).toMatch(/^stf: waiting for rank 1 of 2 at 127.0.0.1:\d+\nstf: rank 1 of 2 did not come .*\n$/);
    expect(ended.code).toBe(1);
  });

  test("rank 0 never comes", async () => {
    const [other] = await start(1, { env: () => ({ WORLD_SIZE: "2", RANK: "1" }) });
    const [ended] = (await ends([other as Started])) as [Ended];
    expect(ended.stderr).toMatch(/^stf: rank 1 waits for rank 0 at [^\n]+\nstf: rank 0 has not come to [^\n]+\n$/);
    expect(ended.code).toBe(1);
  });

  test("the address of rank 0 is not known", async () => {
    const all = await ends(await start(2, { env: () => ({ MASTER_ADDR: "no-such-machine.invalid" }) }));
    const [first, second] = all as [Ended, Ended];
    expect(first.stderr).toMatch(
      /^stf: rank 0 waits for an address of no-such-machine.invalid[^\n]+\nstf: rank 0 cannot serve no-such-machine.invalid:\d+: no address [^\n]+MASTER_ADDR[^\n]+\n$/,
    );
    expect(second.stderr).toMatch(
      /^stf: rank 1 waits for rank 0 at [^\n]+no address of [^\n]+\nstf: rank 0 has not come to [^\n]+no address of [^\n]+\n$/,
    );
    expect([first.code, second.code]).toEqual([1, 1]);
  });

  test("another program has the port", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, () => resolve()));
    const { port } = server.address() as AddressInfo;
    const all = await ends(await start(2, { port }));
    server.close();
    expectLine(all[0], 1, /rank 0 cannot serve 127.0.0.1:\d+: the port is taken/);
    expectLine(all[1], 1, /what listens at 127.0.0.1:\d+ does not answer as rank 0 does: it is another program/);
  });

  for (const late of [0, 1]) {
    test(`rank ${late} comes late`, async () => {
      const port = await freePort();
      const env = (rank: number) => ({ WORLD_SIZE: "2", RANK: String(rank) });
      const name = `--name=run${runs++}`;
      const alone = (rank: number) =>
        startRanks(command, 1, [...training, name, "--duration=0.000032"], {
          port,
          env: () => ({ ...impatient, ...env(rank) }),
        });
      const [early] = (await alone(1 - late)) as [Started];
      await setTimeout(6000);
      const [other] = (await alone(late)) as [Started];
      for (const ended of (await ends([early, other])) as Ended[])
        expect({ ...ended, stdout: "" }).toEqual({ code: 0, stderr: "", stdout: "" });
    });
  }

  test("a second job on the same port leaves the first one alone", async () => {
    const port = await freePort();
    const first = await start(2, { port });
    await training1(first);
    const [server, other] = await Promise.all((await start(2, { port })).map(endOf));
    expectLine(server, 1, /rank 0 cannot serve 127.0.0.1:\d+: the port is taken, perhaps by another job/);
    expectLine(other, 2, /another process is rank 1 at 127.0.0.1:\d+; give .* each job its own MASTER_PORT/);
    kill(first[0], "SIGINT");
    for (const ended of (await ends(first)) as Ended[]) expect(ended.stderr).toBe("");
  });

  test("two processes have one rank", async () => {
    const ranks = await start(3, { env: (rank) => ({ RANK: String(Math.min(rank, 1)) }) });
    const all = (await ends(ranks)) as Ended[];
    expect(
      all
        .slice(1)
        .map(({ stderr }) => /another process is rank 1/.test(stderr))
        .filter(Boolean),
    ).toHaveLength(1);
    expect(all[0]?.stderr).toMatch(/waiting for rank 2 of 3[^\n]*\nstf: rank 2 of 3 did not come/);
  });

  test("they expect different numbers", async () => {
    const all = await ends(await start(2, { env: (rank) => ({ WORLD_SIZE: String(2 + rank) }) }));
    for (const ended of all)
      expect((ended as Ended).stderr).toMatch(/^stf: all processes must have the same WORLD_SIZE; [^\n]+\n$/);
  });

  for (const [name, env, line] of [
    ["a rank beyond the size", { RANK: "2" }, /RANK must be below WORLD_SIZE/],
    ["a rank that is no number", { RANK: "one" }, /RANK must be a whole number/],
    ["a port that is no number", { MASTER_PORT: "http" }, /MASTER_PORT must be/],
    ["no rank", { RANK: "" }, /RANK must be set/],
  ] as const) {
    test(name, async () => {
      const [only] = await start(1, { env: () => ({ WORLD_SIZE: "2", ...env }) });
      const [ended] = await ends([only as Started]);
      expectLine(ended, 2, line);
    });
  }
});

describe("they do not agree", { timeout: 120_000 }, () => {
  test("different options", async () => {
    const all = await ends(await start(2, { args: (rank) => [`--batch=${16 + 16 * rank}`] }));
    for (const ended of all) expectLine(ended, 2, /--batch is 16 for rank 0 and 32 for rank 1/);
  });

  test("an option of one only", async () => {
    const all = await ends(await start(3, { args: (rank) => (rank === 2 ? ["--clip=1"] : []) }));
    for (const ended of all) expectLine(ended, 2, /--clip is none for rank 0 and 1 for rank 2/);
  });

  test("different images", async () => {
    const all = await ends(await start(2, { args: (rank) => (rank === 1 ? ["--data=other-images-idx3-ubyte"] : []) }));
    for (const ended of all) expectLine(ended, 2, /--data is "spots.* for rank 0 and "other.* for rank 1/);
  });

  test("no images at one", async () => {
    const all = await ends(await start(2, { args: (rank) => (rank === 1 ? ["--data=nowhere.zip"] : []) }));
    for (const ended of all) expectLine(ended, 2, /--data is "spots.* for rank 0 and "nowhere.zip" for rank 1/);
  });

  test("a folder that the first cannot write", async () => {
    mkdirSync(join(folder, "file-parent"), { recursive: true });
    cpSync(join(folder, "spots-images-idx3-ubyte"), join(folder, "file-parent", "runs"));
    const all = await ends(await start(2, { args: () => ["--outdir=file-parent/runs"] }));
    expectLine(all[0], 1, /file-parent\/runs/);
    expectLine(all[1], 1, /rank 0 ended: .*file-parent\/runs/);
  });
});
