/** Commands whose surroundings fail: readers that go away, full disks, signals, and several processes where one is meant. */

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { wasToIgnoreHangups } from "../src/cli/hangups.js";
import { commandIn, type Ended } from "./cli-support.js";
import { blobs, idxBytes } from "./support.js";

const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "stf-surroundings-"));
const { start, stf, killAll } = commandIn(folder);
const at = (...names: string[]): string => join(folder, ...names);

beforeAll(() => {
  const bank = blobs(32, 8);
  writeFileSync(at("spots-images-idx3-ubyte"), idxBytes([32, 8, 8], bank.pixels.toTypedArray() as Uint8Array));
  bank.dispose();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(killAll);

const tiny = [
  ...["--data=spots-images-idx3-ubyte", "--cbase=4", "--cres=1", "--num-blocks=1", "--attn=0", "--augment=0"],
  ...["--batch=16", "--lr-rampup=0", "--seed=1", "--tick=0.016"],
];
const short = ["train", ...tiny, "--duration=0.0001"];
const endless = ["train", ...tiny, "--duration=100"];

/** Runs a line of a shell, in which $STF is the command. */
function shell(line: string, env: Record<string, string> = {}): Promise<Ended> {
  const child = spawn("bash", ["-c", line], {
    cwd: folder,
    env: { ...process.env, OMP_NUM_THREADS: "1", STF: `${process.execPath} ${main}`, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const texts = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) {
    child[name].setEncoding("utf8").on("data", (text: string) => {
      texts[name] += text;
    });
  }
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, ...texts })));
}

const isTrained = (name: string): boolean =>
  readFileSync(at("runs", name, "log.txt"), "utf8").includes("finished after 112 images") &&
  existsSync(at("runs", name, "training-state-000000112.safetensors"));

describe("output that is lost", () => {
  const quoted = short.join(" ");

  test.each([
    [
      "whose reader has gone",
      "head",
      "set -o pipefail; $STF $ARGS --name=head | head -2",
      /the reader of this command.s output has closed it/,
    ],
    ["on a full disk", "full", "$STF $ARGS --name=full > /dev/full", /is lost \(ENOSPC/],
  ])("%s does not end a training, and ends with 1", async (_, name, line, says) => {
    const { code, stderr } = await shell(line, { ARGS: quoted });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^stf: [^\n]+\n$/);
    expect(stderr).toMatch(says);
    expect(isTrained(name)).toBe(true);
  });

  test("with the errors does not end a training, and ends with 1", async () => {
    const line = "set -o pipefail; $STF $ARGS --name=both 2>&1 | head -2";
    const { code } = await shell(line, { ARGS: quoted });
    expect(code).toBe(1);
    expect(isTrained("both")).toBe(true);
  });

  test("of a list that was read as far as it was wanted is no failure", async () => {
    const cut = await shell("set -o pipefail; $STF train --help | head -1");
    expect([cut.code, cut.stderr]).toEqual([0, ""]);
    const planned = await shell("set -o pipefail; $STF $ARGS --dry-run | head -1", { ARGS: quoted });
    expect([planned.code, planned.stderr]).toEqual([0, ""]);
    const full = await shell("$STF --help > /dev/full");
    expect(full.code).toBe(1);
    expect(full.stderr).toMatch(/^stf: [^\n]*ENOSPC[^\n]*\n$/);
  });
});

describe("files that may not be as large as a state", () => {
  const large = [...tiny, "--cbase=16", "--snap=2", "--dump=2"];

  test("are noticed before the first step", async () => {
    const { code, stdout, stderr } = await shell("ulimit -f 20; $STF $ARGS --name=limit", {
      ARGS: ["train", ...large, "--duration=0.0001"].join(" "),
    });
    expect(code).toBe(1);
    expect(stdout).not.toContain("kimg");
    expect(stderr).toMatch(/^stf: a training state cannot be written to runs\/limit:[^\n]*ulimit -f[^\n]*--outdir\n$/);
    expect(readdirSync(at("runs", "limit")).sort()).toEqual([".lock", "log.txt", "training_options.json"]);
  });

  test("later: one line for each, the last says what is left, and the exit code is 1", async () => {
    const { child, ended, saying } = start(["train", ...large, "--duration=100", "--name=later"]);
    await saying(/ kimg/);
    expect(spawnSync("prlimit", ["--fsize=20480:20480", "--pid", String(child.pid)]).status).toBe(0);
    await saying(/(?: kimg[\s\S]*){8}/);
    child.kill("SIGINT");
    const { code, stderr } = await ended;
    expect(code).toBe(1);
    const lines = stderr.trimEnd().split("\n");
    for (const line of lines) expect(line).toMatch(/^stf: the (network snapshot|training state) after \d+ images c/);
    expect(lines.at(-1)).toMatch(/after \d+ images could not be written to runs\/later or anywhere else:.*ulimit -f/);
    expect(existsSync(at("runs", "later-rescued"))).toBe(false);
  });
});

// Under nohup, these tests would be told to ignore what they are about.
describe.skipIf(wasToIgnoreHangups())("signals", () => {
  test.each([
    ["SIGHUP", 129],
    ["SIGTERM", 143],
    ["SIGUSR1", 138],
  ] as const)("%s saves and ends with %i", async (signal, wanted) => {
    const { child, ended, saying } = start([...endless, `--name=${signal}`]);
    await saying(/ kimg/);
    child.kill(signal);
    const { code, stdout, stderr } = await ended;
    expect([code, stderr]).toEqual([wanted, ""]);
    const images = /stopped after (\d+) images/.exec(stdout)?.[1]?.padStart(9, "0");
    expect(existsSync(at("runs", signal, `training-state-${images}.safetensors`))).toBe(true);
  });

  test("SIGUSR1 while the command is being loaded ends it, too", async () => {
    const early =
      'process.on("newListener", (name) => name === "SIGUSR1" && setImmediate(() => process.kill(process.pid, name)))';
    const preload = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(early)}` };
    expect(await stf([...endless, "--name=early"], preload)).toEqual({ code: 138, stdout: "", stderr: "" });
    expect(existsSync(at("runs", "early"))).toBe(false);
  });

  test("a terminal that closes sends several, and SIGTERM may follow: it saves all the same", async () => {
    const { child, ended, saying } = start([...endless, "--name=closing"]);
    await saying(/ kimg/);
    for (const signal of ["SIGHUP", "SIGHUP", "SIGTERM", "SIGUSR1", "SIGHUP"] as const) child.kill(signal);
    const { code, stdout, stderr } = await ended;
    expect([129, 138, 143]).toContain(code);
    expect(stderr).toBe("");
    expect(stdout).toMatch(/stopped after \d+ images/);
  });

  test("SIGTERM to a process and to its group, as timeout(1) sends it, is one request", async () => {
    const { child, ended, saying } = start([...endless, "--name=twice"]);
    await saying(/ kimg/);
    for (let i = 0; i < 3; i++) child.kill("SIGTERM");
    const { code, stdout, stderr } = await ended;
    expect([code, stderr]).toEqual([143, ""]);
    expect(stdout).toMatch(/stopped after \d+ images/);
  });

  test.each([
    ["nohup", "nohup $STF $ARGS --name=nohup > nohup.txt & p=$!"],
    ["a shell under nohup", "nohup bash -c '$STF $ARGS --name=shell > nohup.txt & echo $! > pid; wait $!' & q=$!"],
  ])("under %s SIGHUP changes nothing", async (_, begin) => {
    rmSync(at("nohup.txt"), { force: true });
    const line = `${begin}
      until grep -q ' kimg' nohup.txt 2> /dev/null; do sleep 0.05; done
      p=\${p:-$(cat pid)}
      kill -HUP $p; before=$(grep -c ' kimg' nohup.txt)
      until [ $(grep -c ' kimg' nohup.txt) -gt $((before + 5)) ]; do kill -0 $p || exit 9; sleep 0.05; done
      kill -TERM $p; wait \${q:-$p}`;
    const { code } = await shell(line, { ARGS: endless.join(" ") });
    expect(code).toBe(143);
    expect(readFileSync(at("nohup.txt"), "utf8")).toMatch(/stopped after \d+ images/);
  });
});

describe("several processes", () => {
  test.each([
    ["features train", ["features", "train", "--data=spots-images-idx3-ubyte", "--dest=x.safetensors"]],
    ["import", ["import", "x.pkl", "--dest=x.safetensors"]],
  ])("are refused where %s would be done by each of them", async (name, args) => {
    const before = readdirSync(folder).sort();
    const { code, stdout, stderr } = await stf(args, { RANK: "1", WORLD_SIZE: "2", LOCAL_RANK: "1" });
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(new RegExp(`^stf: ${name} cannot divide its work[^\\n]*one of 2 processes[^\\n]*\\n$`));
    expect(readdirSync(folder).sort()).toEqual(before);
  });

  test("of which there is one are none", async () => {
    expect((await stf([...short, "--dry-run"], { RANK: "0", WORLD_SIZE: "1", LOCAL_RANK: "0" })).code).toBe(0);
  });
});
