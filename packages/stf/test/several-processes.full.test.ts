/** Trainings that several processes share, as people run them, and the images that they have in common. */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { memory } from "@stf/torch";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { trainingOptions } from "../src/config/train-request.js";
import { DividedBank } from "../src/data/divided-bank.js";
import { ImageBank } from "../src/data/image-bank.js";
import { digestOfImages } from "../src/data/image-digest.js";
import { neighboursOf } from "../src/jobs/neighbours.js";
import {
  type KnownImages,
  removeLeftImages,
  type SharedImagesOptions,
  shareImages,
} from "../src/jobs/shared-images.js";
import { commandIn, type Ended } from "./cli-support.js";
import { randomBytes } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "stf-several-"));
const { start, stf, killAll } = commandIn(folder);
const at = (...names: string[]): string => join(folder, ...names);
afterEach(killAll);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const shape = { channels: 1, height: 8, width: 8 };
const N = 60;
// Close to each other, so that posteriors hold several.
const bytes = Uint8Array.from(randomBytes(N * 64, 1), (byte) => 100 + (byte >> 3));
const labels = Int32Array.from({ length: N }, (_, i) => i % 3);
const newBank = (): ImageBank =>
  ImageBank.fromBytes("shared", shape, bytes, { labels, classNames: ["a", "b", "c"], unlabelled: undefined });

/** An idx file as of MNIST, with its labels. */
function writeImages(): string {
  const numbers = (...values: number[]): Buffer => {
    const buffer = Buffer.alloc(4 * values.length);
    values.forEach((value, i) => void buffer.writeUInt32BE(value, 4 * i));
    return buffer;
  };
  writeFileSync(at("train-images-idx3-ubyte"), Buffer.concat([numbers(0x803, N, 8, 8), bytes]));
  writeFileSync(at("train-labels-idx1-ubyte"), Buffer.concat([numbers(0x801, N), Uint8Array.from(labels)]));
  return "train-images-idx3-ubyte";
}
const data = writeImages();

async function freePort(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => void server.close(resolve));
  return String(port);
}

const basic = [
  ...[`--data=${data}`, "--preset=published", "--arch=mlp", "--cbase=16", "--num-blocks=1", "--seed=3", "--batch=12"],
  ...["--lr=0.01", "--lr-rampup=0", "--stf=1", "--duration=0.00024", "--tick=0.012", "--save-every=0", "--outdir=runs"],
];

const launched = async (...args: string[]): Promise<Ended> =>
  stf(["launch", "--nproc=2", "--", "train", ...basic, ...args], { MASTER_PORT: await freePort() });

/** The losses of the ticks of a run. */
const lossesOf = (name: string): number[] =>
  readFileSync(at("runs", name, "stats.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => (JSON.parse(line) as { "Loss/loss": { mean: number } })["Loss/loss"].mean);

/** Files of shared images that are left. */
const left = (): string[] =>
  ["/dev/shm", tmpdir()]
    .filter(existsSync)
    .flatMap((place) => readdirSync(place))
    .filter((name) => name.startsWith(".stf-images"));

/** Nobody's weights or losses depend on who has computed what, up to rounding. */
function expectSameLosses(found: string, wanted: string): void {
  const [ours, theirs] = [lossesOf(found), lossesOf(wanted)];
  expect(ours.length).toBe(theirs.length);
  expect(ours.length).toBeGreaterThan(3);
  ours.forEach((loss, i) => void expect(Math.abs(loss / (theirs[i] as number) - 1)).toBeLessThan(1e-4));
}

describe("two processes", () => {
  test("train like one, on one copy of the images, which nobody can find", { timeout: 120_000 }, async () => {
    const rest = ["--cond=1", "--rbatch=20", "--xflip=1"];
    const alone = await stf(["train", ...basic, ...rest, "--name=alone"]);
    expect([alone.code, alone.stderr]).toEqual([0, ""]);
    const args = ["launch", "--nproc=2", "--", "train", ...basic, ...rest, "--name=shared"];
    const { child, ended, saying } = start(args, { MASTER_PORT: await freePort() });
    await saying(/run folder/);
    const ids = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").trim().split(" ");
    const mapped = ids.map((id) =>
      readFileSync(`/proc/${id}/maps`, "utf8")
        .split("\n")
        .filter((line) => line.includes(".stf-images"))
        .map((line) => line.split(/\s+/)),
    );
    // The same inode, readable and writable by both, and without a name.
    expect(mapped.map((lines) => lines.length)).toEqual([1, 1]);
    expect(mapped[0]?.[0]?.[4]).toBe(mapped[1]?.[0]?.[4]);
    expect(mapped.flat().map((words) => words.at(-1))).toEqual(["(deleted)", "(deleted)"]);
    expect(left()).toEqual([]);
    const { code, stderr, stdout } = await ended;
    expect([code, stderr]).toEqual([0, expect.not.stringContaining("stf:")]);
    expect(stdout).toMatch(/^processes +2 on this machine, each with 6 images of a batch$/m);
    expect(stdout).toMatch(/train further .*launch --nproc=2 -- train --resume=runs\/shared /);
    expect(alone.stdout).toMatch(/train further (?!.*launch).* train --resume=runs\/alone /);
    expect(alone.stdout).not.toMatch(/^processes/m);
    expectSameLosses("shared", "alone");
  });

  test("with --stf-shard have the targets of one with all references", { timeout: 120_000 }, async () => {
    const all = await stf(["train", ...basic, "--rbatch=all", "--augment=0.3", "--name=all", "--stf-shard=1"]);
    expect([all.code, all.stderr]).toEqual([0, ""]);
    expect(all.stdout).toMatch(/note +--stf-shard has no effect in a single process/);
    const divided = await launched("--rbatch=all", "--augment=0.3", "--name=divided", "--stf-shard=1");
    expect([divided.code, divided.stderr]).toEqual([0, expect.not.stringContaining("stf:")]);
    expect(divided.stdout).toMatch(/each of 2 processes holds its part of the images/);
    expectSameLosses("divided", "all");
    expect(left()).toEqual([]);
  });
});

describe("options", () => {
  const resolve = (more: object) => trainingOptions({ preset: "published", data: "x", stf: true, ...more }, undefined);

  test("that references of several processes exclude are refused, with the reason", () => {
    const divided = { stfShard: true, rbatch: "all" } as const;
    expect(() => resolve({ ...divided, stfAugment: "independent" })).toThrow(/exclude each other: such references/);
    expect(() => resolve({ ...divided, analytic: 30 })).toThrow(
      /no process has all .*'analytic' \(it is 30\); .*'analytic=0'/,
    );
    expect(() => resolve({ ...divided, heldOut: 0.1 })).toThrow(/'heldOut'/);
    expect(() => resolve({ ...divided, metrics: ["fwd2k"] })).toThrow(/'metrics'/);
    expect(() => resolve({ stf: false, stfShard: true })).not.toThrow();
    expect(() => resolve({ stf: undefined, preset: "published", stfShard: true })).toThrow(/'stfShard' needs 'stf=1'/);
    expect(resolve({ stfShard: true, rbatch: 8, analytic: 30, heldOut: 0.1, metrics: ["fwd2k"] }).stfShard).toBe(true);
    expect(resolve(divided).stfShard).toBe(true);
  });
});

describe("images of a machine", () => {
  const place = at("memory");

  /** What two processes of a machine get: the second acts while the first waits for it. */
  function shared(options: SharedImagesOptions, isThere = true) {
    const warnings: string[] = [];
    const reporter = { warn: (line: string) => void warnings.push(line) } as never;
    const team = (rank: number, gather: (value: unknown) => unknown[]) => ({
      ...{ rank, size: 2, local: neighboursOf(rank, ["here", "here"]) },
      alone: <T>(_: string, body: () => T): T => body(),
      gather: gather as never,
    });
    const bank = newBank();
    const read = { bank, digest: digestOfImages(bank) };
    let told: unknown;
    let second: ReturnType<typeof shareImages>;
    let names: string[] = [];
    const first = shareImages(
      read,
      team(0, (value) => {
        if (told === undefined) {
          told = JSON.parse(JSON.stringify(value));
          return [told, null];
        }
        names = options.folders?.flatMap((each) => (existsSync(each) ? readdirSync(each) : [])) ?? [];
        if (!isThere) for (const name of names) rmSync(join(place, name));
        second = shareImages(
          undefined,
          team(1, (own) => (own === null ? [told, null] : [value, own])),
          options,
          { reporter },
        );
        return [value, second !== undefined];
      }),
      options,
      { reporter },
    );
    return { first, second, names, warnings };
  }

  test("are the same in all processes, with their labels", () => {
    rmSync(place, { recursive: true, force: true });
    const { first, second, names, warnings } = shared({ isDivided: false, folders: [at("none"), at(".")] });
    expect(names.filter((name) => name.startsWith(".stf-images"))).toEqual([
      `.stf-images.${hostname()}.${process.pid}.partial`,
    ]);
    expect(warnings).toEqual([]);
    for (const found of [first, second]) {
      const { bank, digest } = found as KnownImages<ImageBank>;
      expect(bank.pixels.toTypedArray()).toEqual(bytes);
      expect([bank.labels, bank.classNames, bank.name]).toEqual([labels, ["a", "b", "c"], "shared"]);
      expect(digestOfImages(bank)).toBe(digest);
    }
    // One memory, and no file.
    (first as KnownImages<ImageBank>).bank.pixels.fill_(7);
    expect((second as KnownImages<ImageBank>).bank.pixels.toTypedArray()).toEqual(new Uint8Array(N * 64).fill(7));
    expect(readdirSync(folder).filter((name) => name.startsWith(".stf"))).toEqual([]);
    first?.bank.dispose();
    second?.bank.dispose();
  });

  test("are divided where each process needs a part of them", () => {
    const { first, second } = shared({ isDivided: true, folders: [folder] });
    const banks = [first?.bank, second?.bank] as DividedBank[];
    expect(banks.map((bank) => [bank.count, bank.first, bank.own.count])).toEqual([
      [N, 0, N / 2],
      [N, N / 2, N / 2],
    ]);
    expect(banks.flatMap((bank) => [...bank.own.pixels.toTypedArray()])).toEqual([...bytes]);
    for (const bank of banks) expect(bank.labels).toEqual(labels);
    for (const bank of banks) bank.dispose();
  });

  test("are read by each process where there is no room, which is told in one line", () => {
    const before = memory().tensors;
    for (const isDivided of [false, true]) {
      const { first, second, warnings } = shared({ isDivided, folders: [at("none")] });
      expect(second).toBeUndefined();
      expect(first?.bank.count).toBe(N);
      expect(first?.bank instanceof DividedBank).toBe(isDivided);
      expect(warnings).toEqual([
        expect.stringMatching(/each reads its own: the images take 4.*B, and .*none: nothing can be created/),
      ]);
      first?.bank.dispose();
    }
    expect(memory().tensors).toBe(before);
  });

  test("of killed processes are removed by the next one, those of others are not", () => {
    const file = (host: string, id: number): string => `.stf-images.${host}.${id}.partial`;
    const dead = 2 ** 22 - 3;
    const own = [file(hostname(), dead), file(hostname(), process.pid)];
    const others = [file(hostname(), process.ppid), file("elsewhere", dead), `.other.${dead}.partial`];
    for (const name of [...own, ...others]) writeFileSync(at(name), "");
    removeLeftImages(folder);
    expect(
      readdirSync(folder)
        .filter((name) => /^\.(stf|other)/.test(name))
        .sort(),
    ).toEqual([...others].sort());
    for (const name of others) rmSync(at(name));
  });
});

test("who shares a machine follows from the machines alone", () => {
  const machines = ["a", "b", "a", "b", "a"];
  expect(machines.map((_, rank) => neighboursOf(rank, machines))).toEqual([
    { rank: 0, size: 3, ranks: [0, 2, 4] },
    { rank: 0, size: 2, ranks: [1, 3] },
    { rank: 1, size: 3, ranks: [0, 2, 4] },
    { rank: 1, size: 2, ranks: [1, 3] },
    { rank: 2, size: 3, ranks: [0, 2, 4] },
  ]);
});
