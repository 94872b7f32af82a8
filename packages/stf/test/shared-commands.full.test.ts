/** Commands whose work connected processes divide: the results of one process, and an end for all when one of them ends. */

import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { noGrad, scope } from "@stf/torch";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { saveNetwork } from "../src/checkpoints/network-file.js";
import { buildDenoiser, type NetworkConfig } from "../src/networks/build.js";
import { type Command, commandIn, type Ended } from "./cli-support.js";
import { type RankOptions, startRanks } from "./ranks-support.js";
import { blobs, idxBytes, maxDeviation, normals } from "./support.js";

let folder: string;
let command: Command;
const at = (name: string): string => join(folder, name);

/** Writes images in classes 0 and 1. */
function writeImages(name: string, bytes: Uint8Array): void {
  const count = bytes.length / 64;
  writeFileSync(at(`${name}-images-idx3-ubyte`), idxBytes([count, 8, 8], bytes));
  writeFileSync(
    at(`${name}-labels-idx1-ubyte`),
    idxBytes(
      [count],
      Uint8Array.from({ length: count }, (_, i) => (i * 7) % 2),
    ),
  );
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "stf-shared-"));
  command = commandIn(folder);
  const bank = blobs(64, 8);
  const bytes = bank.pixels.toTypedArray() as Uint8Array;
  bank.dispose();
  writeImages("spots", bytes.subarray(0, 40 * 64));
  writeImages("other", bytes.subarray(40 * 64));
  const config: NetworkConfig = {
    ...{ arch: "ddpmpp", precond: "edm", shape: { channels: 1, height: 8, width: 8 }, modelChannels: 8 },
    ...{ channelMult: [1, 2], numBlocks: 1, attnResolutions: [4], dropout: 0, labelDim: 2 },
  };
  const denoiser = buildDenoiser(config);
  noGrad(() => {
    for (const [i, parameter] of denoiser.parameters().entries()) {
      scope(() => parameter.copy_(normals(parameter.shape, 700 + i, "float32").mul(0.1)));
    }
  });
  saveNetwork(at("net.safetensors"), denoiser, config, { labelDropout: 0 });
  denoiser.dispose();
});

afterAll(() => {
  command.killAll();
  rmSync(folder, { recursive: true, force: true });
});

const spots = "spots-images-idx3-ubyte";
const net = "--network=net.safetensors";

/** Runs a command in some processes, of which only the first says anything. Returns what it says. */
async function shared(size: number, args: readonly string[]): Promise<string> {
  const ranks = size === 1 ? [command.start(args)] : await startRanks(command, size, args);
  const [first, ...others] = (await Promise.all(ranks.map(({ ended }) => ended))) as [Ended, ...Ended[]];
  expect(first).toMatchObject({ code: 0, stderr: "" });
  for (const other of others) expect(other).toEqual({ code: 0, stdout: "", stderr: "" });
  return first.stdout;
}

async function ends(size: number, args: readonly string[], options?: RankOptions): Promise<Ended[]> {
  return await Promise.all((await startRanks(command, size, args, options)).map(({ ended }) => ended));
}

const stored = (name: string): Record<string, unknown> => JSON.parse(readFileSync(at(name), "utf8"));
const values = async (name: string): Promise<Uint8Array> => new Uint8Array(await sharp(at(name)).raw().toBuffer());

describe("generate", { timeout: 300_000 }, () => {
  const options = ["generate", net, "--seeds=0-10", "--batch=3", "--steps=3"];

  test("draws the images of one process, into files and a grid", async () => {
    // Each batch has the same images, because four batches are needed in any case.
    await shared(1, [...options, "--outdir=alone", "--grid=alone.png"]);
    await shared(2, [...options, "--outdir=two", "--grid=two.png"]);
    const names = readdirSync(at("alone"));
    expect(names).toHaveLength(13);
    expect(readdirSync(at("two"))).toEqual(names);
    for (const name of [...names.map((each) => `/${each}`), ".png"]) {
      expect(readFileSync(at(`two${name}`)).equals(readFileSync(at(`alone${name}`)))).toBe(true);
    }
  });

  test("needs no folder for a grid, an archive or an animation", async () => {
    await shared(2, [...options, "--grid=free.png", "--outdir=free.zip"]);
    expect(readFileSync(at("free.png")).equals(readFileSync(at("alone.png")))).toBe(true);
    await shared(3, [...options, "--grid=only.png"]);
    expect(maxDeviation(await values("only.png"), await values("alone.png"))).toBeLessThanOrEqual(1);
    const few = ["generate", net, "--seeds=0-4", "--batch=8", "--steps=3"];
    await shared(1, [...few, "--trajectory=alone.webp"]);
    await shared(3, [...few, "--trajectory=three.webp"]);
    const [one, three] = [await values("alone.webp"), await values("three.webp")];
    expect(three.length).toBe(one.length);
    expect(maxDeviation(three, one)).toBeLessThanOrEqual(8);
    // More processes than images.
    await shared(3, ["generate", net, "--seeds=4,5", "--steps=3", "--grid=pair.png"]);
    expect(existsSync(at("pair.png"))).toBe(true);
  });

  test("is completed by another number of processes", async () => {
    const names = readdirSync(at("two")).filter((name) => name.endsWith(".png"));
    for (const name of names.filter((_, i) => i % 3 > 0)) rmSync(join(at("two"), name));
    await shared(3, [...options, "--outdir=two", "--grid=again.png"]);
    expect(maxDeviation(await values("again.png"), await values("alone.png"))).toBeLessThanOrEqual(1);
    expect(readdirSync(at("two"))).toEqual(readdirSync(at("alone")));
  });

  test("takes the latest network of a run folder, as one process does", async () => {
    mkdirSync(at("run"));
    writeFileSync(join(at("run"), "network-snapshot-000000001.safetensors"), "an earlier one, which nobody reads");
    cpSync(at("net.safetensors"), join(at("run"), "network-snapshot-000000002.safetensors"));
    const said = await shared(2, [...options, "--network=run", "--gnet=run", "--guidance=1.5", "--grid=run.png"]);
    expect(said).toMatch(/using the latest network snapshot of the run, run\/network-snapshot-000000002/);
    // Guided away from itself, a network draws what it draws alone.
    expect(maxDeviation(await values("run.png"), await values("alone.png"))).toBeLessThanOrEqual(1);
    for (const { code, stderr } of await ends(2, [...options, "--network=nowhere", "--grid=x.png"])) {
      expect([code, stderr]).toEqual([
        1,
        expect.stringMatching(/^stf: nowhere cannot be read: there is no such file\n$/),
      ]);
    }
  });

  test("the speed is that of the first process, and the last line says so", async () => {
    expect(await shared(2, [...options, "--grid=speed.png"])).toMatch(/images\/s in the first of 2 processes, \S+s\n$/);
    expect(await shared(1, [...options, "--grid=speed.png"])).toMatch(/images\/s, \S+s\n$/);
  });

  test("one that fails in the middle ends all", async () => {
    const wedged = ["generate", net, "--seeds=0-3,1000-1003", "--batch=4", "--steps=2", "--subdirs", "--outdir=wedged"];
    await shared(1, [...wedged, "--seeds=0-3"]);
    writeFileSync(join(at("wedged"), "001000"), "in the way");
    const [first, second] = (await ends(2, wedged)) as [Ended, Ended];
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(/^stf: .*001000 cannot be made/);
    expect(first.code).toBe(1);
    expect(first.stderr).toMatch(/^stf: rank 1 ended: .*001000 cannot be made[^\n]*\n$/);
  });

  test("one that is stopped stops all, and all is kept", async () => {
    const long = ["generate", net, "--seeds=0-99", "--batch=2", "--outdir=halted", "--sampler=pc", "--steps=60"];
    const ranks = await startRanks(command, 2, long);
    await ranks[0]?.saying(/2 of 50 images/);
    ranks[1]?.child.kill("SIGINT");
    const [first, second] = (await Promise.all(ranks.map(({ ended }) => ended))) as [Ended, Ended];
    expect([first.code, second.code, first.stderr, second.stderr]).toEqual([130, 130, "", ""]);
    expect(first.stdout).toMatch(/stopped; the same command draws the rest into halted/);
  });

  test("different options and networks are found", async () => {
    for (const { code, stderr } of await ends(2, options, {
      args: (rank) => ["--grid=x.png", `--S_churn=${rank}`],
    })) {
      expect([code, stderr]).toEqual([
        2,
        expect.stringMatching(/must have the same options; --S_churn is 0 for rank 0/),
      ]);
    }
    const bytes = readFileSync(at("net.safetensors"));
    bytes[bytes.length - 2] = (bytes[bytes.length - 2] as number) ^ 1;
    writeFileSync(at("changed.safetensors"), bytes);
    for (const { code, stderr } of await ends(2, options, {
      args: (rank) => ["--grid=x.png", ...(rank > 0 ? ["--network=changed.safetensors"] : [])],
    })) {
      expect([code, stderr]).toEqual([2, expect.stringMatching(/must have the same networks.*rank 1 differ/)]);
    }
    expect(existsSync(at("x.png"))).toBe(false);
  });
});

describe("evaluate", { timeout: 300_000 }, () => {
  const options = ["evaluate", net, `--ref=${spots}`, "--num=20", "--steps=3", "--batch=4"];

  test("has the numbers of one process, and needs no file for that", async () => {
    const alone = await shared(1, [...options, "--dest=alone.json"]);
    await shared(2, [...options, "--dest=two.json"]);
    const numbers = (name: string) => {
      const [{ values: found, protocol }] = stored(name)["evaluations"] as [Record<string, Record<string, object>>];
      return { values: found, protocol };
    };
    expect(numbers("two.json")).toEqual(numbers("alone.json"));
    const printed = (text: string): string[] => text.split("\n").filter((line) => /^ +(fwd|mean|copies)/.test(line));
    expect(printed(await shared(3, options))).toEqual(printed(alone));
    expect(printed(alone).length).toBeGreaterThan(1);
    expect(readdirSync(folder).filter((name) => name.includes(".parts"))).toEqual([]);
  });

  test("what is finished stays when another process fails later", async () => {
    const sets = (rank: number): string => `--images=other-images-idx3-ubyte,${rank === 0 ? spots : "nowhere"}`;
    const [first, second] = (await ends(2, ["evaluate", `--ref=${spots}`, "--num=20"], {
      args: (rank) => [sets(rank)],
    })) as [Ended, Ended];
    expect(second.stderr).toMatch(/^stf: no images at nowhere|nowhere/);
    expect([first.code, second.code]).toEqual([1, 1]);
    expect(first.stdout).toMatch(/fwd20/);
    expect(first.stderr).toMatch(/^stf: rank 1 ended: [^\n]*nowhere[^\n]*\n$/);
  });

  test("different images are found", async () => {
    for (const { code, stderr } of await ends(2, ["evaluate", `--ref=${spots}`, "--num=20"], {
      args: (rank) => [`--images=${rank === 0 ? spots : "other-images-idx3-ubyte"}`],
    })) {
      expect([code, stderr]).toEqual([2, expect.stringMatching(/must have the same images and networks/)]);
    }
  });
});

test("fid calc has the distance of one process", { timeout: 300_000 }, async () => {
  const bank = blobs(64, 28);
  const bytes = bank.pixels.toTypedArray() as Uint8Array;
  bank.dispose();
  writeFileSync(at("large-images-idx3-ubyte"), idxBytes([64, 28, 28], bytes));
  const options = ["fid", "calc", "--images=large-images-idx3-ubyte", "--ref=ref.npz", "--num=24"];
  await shared(1, ["fid", "ref", "--data=large-images-idx3-ubyte", "--features=fashion-mnist", "--dest=ref.npz"]);
  const distance = async (size: number): Promise<number> => {
    await shared(size, [...options, "--features=fashion-mnist", `--dest=fid-${size}.json`]);
    const [{ values: found }] = stored(`fid-${size}.json`)["evaluations"] as [
      { values: { frechet: { value: number } } },
    ];
    return found.frechet.value;
  };
  const alone = await distance(1);
  expect(alone).toBeGreaterThan(0);
  expect(Math.abs((await distance(3)) / alone - 1)).toBeLessThan(1e-6);
});

describe("likelihood", { timeout: 300_000 }, () => {
  const options = ["likelihood", net, `--data=${spots}`, "--batch=2", "--rtol=0.1", "--atol=0.1"];

  test("has the numbers of one process, to the last bit", async () => {
    const varied = [...options, "--num=7", "--probes=2", "--repeats=2"];
    await shared(1, [...varied, "--dest=bits-1.json"]);
    await shared(2, [...varied, "--dest=bits-2.json"]);
    expect(readFileSync(at("bits-2.json"), "utf8")).toBe(readFileSync(at("bits-1.json"), "utf8"));
    expect(stored("bits-1.json")["perImage"]).toHaveLength(7);
    // More processes than batches.
    await shared(3, [...options, "--num=3", "--dest=few.json"]);
    expect(stored("few.json")["perImage"]).toHaveLength(3);
  });

  test("one that is stopped stops all, with the result of what is complete", async () => {
    const ranks = await startRanks(command, 2, [...options, "--repeats=2", "--num=40", "--dest=part.json"]);
    await ranks[0]?.saying(/2 of 20 images/);
    ranks[1]?.child.kill("SIGINT");
    const [first, second] = (await Promise.all(ranks.map(({ ended }) => ended))) as [Ended, Ended];
    expect([first.code, second.code, first.stderr, second.stderr]).toEqual([130, 130, "", ""]);
    const count = Number(/stopped after (\d+) of 40 images/.exec(first.stdout)?.[1]);
    expect(count % 2).toBe(0);
    expect(count).toBeGreaterThan(0);
    expect(stored("part.json")["perImage"]).toHaveLength(count);
  });

  test("one that is killed is named by the others", async () => {
    const ranks = await startRanks(command, 2, [...options, "--num=8", "--repeats=4"]);
    await ranks[0]?.saying(/2 of 4 images/);
    ranks[1]?.child.kill("SIGKILL");
    const first = (await ranks[0]?.ended) as Ended;
    expect(first.code).toBe(1);
    expect(first.stderr).toMatch(/^stf: rank 1 \(process \d+ on [^)]+\) (is gone|has been silent)[^\n]*\n$/);
  });
});

describe("analyze", { timeout: 300_000 }, () => {
  /** What does not depend on the time. */
  const report = (name: string): object => {
    const { seconds, costs, findings, ...others } = stored(`${name}/variance.json`);
    return {
      ...others,
      findings: JSON.stringify(findings).replace(/[\d.]+ ms/g, ""),
      references: (costs as { references: unknown }[]).map(({ references }) => references),
    };
  };

  test("has the report of one process, to the last bit", async () => {
    const options = [
      ...["analyze", `--data=${spots}`, net, "--cond", "--held-out=other-images-idx3-ubyte", "--num=5"],
      ...["--network-num=3", "--levels=3", "--references=1,4", "--check-bias"],
    ];
    const alone = await shared(1, [...options, "--outdir=analysis-1"]);
    const two = await shared(2, [...options, "--outdir=analysis-2"]);
    expect(report("analysis-2")).toEqual(report("analysis-1"));
    expect(JSON.stringify(report("analysis-1"))).toMatch(/unseen/);
    expect(two.split("\n").length).toBe(alone.split("\n").length);
    expect(readdirSync(at("analysis-2"))).toEqual(readdirSync(at("analysis-1")));
  });

  test("of a mixture, also with fewer samples than processes", async () => {
    const options = ["analyze", "--mixture=two-gaussians", "--num=2", "--levels=4", "--references=1,4"];
    await shared(1, [...options, "--outdir=mixture-1"]);
    await shared(3, [...options, "--outdir=mixture-3"]);
    expect(report("mixture-3")).toEqual(report("mixture-1"));
  });

  test("one that fails or is stopped ends all, and no folder is left", async () => {
    const options = ["analyze", "--num=100000", "--levels=4", "--outdir=none"];
    for (const { code, stderr } of await ends(2, options, {
      args: (rank) => [`--data=${rank === 0 ? spots : "other-images-idx3-ubyte"}`],
    })) {
      expect([code, stderr]).toEqual([2, expect.stringMatching(/must have the same networks and images/)]);
    }
    const [first, second] = (await ends(2, options, {
      args: (rank) => [`--data=${rank === 0 ? spots : "nowhere"}`],
    })) as [Ended, Ended];
    expect([first.code, second.code]).toEqual([1, 1]);
    expect(first.stderr).toMatch(/^stf: rank 1 ended: [^\n]*nowhere[^\n]*\n$/);
    const ranks = await startRanks(command, 2, [...options, `--data=${spots}`, "--references=1,40"]);
    // Said after the processes have met.
    await ranks[0]?.saying(/40 references are all that there are/);
    ranks[1]?.child.kill("SIGINT");
    for (const { code, stderr } of await Promise.all(ranks.map(({ ended }) => ended))) {
      expect([code, stderr]).toEqual([130, ""]);
    }
    expect(existsSync(at("none"))).toBe(false);
  });
});
