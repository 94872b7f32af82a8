/** `stf generate`, `stf likelihood` and `stf launch` as people run them. */

import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { noGrad, scope } from "@stf/torch";
import { decode, encode } from "fast-png";
import sharp from "sharp";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { saveNetwork } from "../src/checkpoints/network-file.js";
import { withFlags } from "../src/cli/flags.js";
import { UsageError } from "../src/common/errors.js";
import { flagOf, parse, resolve } from "../src/config/fields.js";
import { checkTogether, generateFields } from "../src/config/generate-options.js";
import { openDataset } from "../src/data/open.js";
import { buildDenoiser, type NetworkConfig } from "../src/networks/build.js";
import { GENERATE_OPTIONS_FILE } from "../src/run/files.js";
import { methodDifferences, type Protocol } from "../src/run/protocol.js";
import { commandIn } from "./cli-support.js";
import { maxDeviation, normals } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "stf-generate-"));
const { start, stf, expectFailure, killAll } = commandIn(folder);
const at = (...names: string[]): string => join(folder, ...names);

/** A network whose weights are random, and so are its pictures. */
function writeNetwork(name: string, more: Partial<NetworkConfig>, about: Record<string, unknown> = {}): void {
  const config: NetworkConfig = {
    arch: "ddpmpp",
    precond: "edm",
    shape: { channels: 3, height: 8, width: 8 },
    modelChannels: 8,
    channelMult: [1, 2],
    numBlocks: 1,
    attnResolutions: [4],
    dropout: 0,
    ...more,
  };
  const denoiser = buildDenoiser(config);
  noGrad(() => {
    for (const [i, parameter] of denoiser.parameters().entries()) {
      scope(() => parameter.copy_(normals(parameter.shape, 700 + i, "float32").mul(0.1)));
    }
  });
  saveNetwork(at(name), denoiser, config, about);
  denoiser.dispose();
}

const pixels = (path: string): number[] => Array.from(decode(readFileSync(at(path))).data);
const seedName = (seed: number): string => `${String(seed).padStart(6, "0")}.png`;
const pngs = (path: string): string[] =>
  readdirSync(at(path), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".png"))
    .sort();

/** Runs without a word on standard error. */
async function draw(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await stf(["generate", ...args]);
  expect([code, stderr]).toEqual([0, ""]);
  return stdout;
}

const net = "--network=net.safetensors";

beforeAll(() => {
  writeNetwork("net.safetensors", {});
  writeNetwork("classes.safetensors", { labelDim: 4 }, { labelDropout: 0.1 });
  writeNetwork("told.safetensors", { labelDim: 4 }, { labelDropout: 0 });
  writeNetwork("exploding.safetensors", { precond: "ve" });
  writeNetwork("steps.safetensors", { precond: "iddpm" });
  writeNetwork("grey.safetensors", { shape: { channels: 1, height: 8, width: 8 } });
  const image = Uint8Array.from({ length: 192 }, (_, i) => (i * 37) % 256);
  writeFileSync(at("photo.png"), encode({ width: 8, height: 8, channels: 3, depth: 8, data: image }));
  const half = Uint8Array.from({ length: 64 }, (_, i) => (i < 32 ? 255 : 0));
  writeFileSync(at("mask.png"), encode({ width: 8, height: 8, channels: 1, depth: 8, data: half }));
  writeFileSync(at("large.png"), encode({ width: 9, height: 8, channels: 1, depth: 8, data: new Uint8Array(72) }));
  writeFileSync(at("elsewhere.pkl"), Buffer.from("\x80\x02}.", "latin1"));
  writeFileSync(at("damaged.safetensors"), readFileSync(at("net.safetensors")).subarray(0, 3000));
});
afterEach(killAll);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("samplers", () => {
  const ways: [string, string[], RegExp][] = [
    ["heun", ["--steps=5"], /heun, 5 steps, noise levels 80 to 0\.002.*\n(.*\n)*.* 9 network evaluations/],
    ["euler", ["--steps=5"], / 5 network evaluations/],
    ["dpm++2m", ["--steps=5"], / 5 network evaluations/],
    ["dpm++2m-sde", ["--steps=5", "--eta=0.5"], / 5 network evaluations/],
    ["dpm++2m-sde", ["--steps=5", "--solver-type=heun"], / 5 network evaluations/],
    ["rk45", ["--rtol=0.01", "--atol=0.01"], /with rk45, noise.*\n(.*\n)*.* \d+(\.\d)? network evaluations/],
    ["pc", ["--steps=6", "--corrector-steps=2", "--snr=0.1"], / 18 network evaluations/],
    ["pc", ["--steps=25", "--process=vp", "--predictor=ancestral", "--corrector=none"], / 25 network evaluations/],
    ["heun", ["--disc=vp", "--schedule=vp", "--scaling=vp", "--steps=4"], /noise levels 152\.2 to 0\.01049/],
    ["heun", ["--S_churn=10", "--S_noise=1.01", "--steps=4"], / 7 network evaluations/],
  ];

  test.each(ways)("%s %j: an image depends on its seed alone", async (sampler, options, says) => {
    const name = `way-${ways.findIndex((way) => way[1] === options)}`;
    const common = [net, `--sampler=${sampler}`, ...options];
    expect(await draw(...common, `--outdir=${name}`, "--seeds=3-6", "--batch=3")).toMatch(says);
    await draw(...common, `--outdir=${name}-other`, "--seeds=6,4", "--batch=1");
    for (const seed of [4, 6]) {
      const [one, other] = [name, `${name}-other`].map((place) => pixels(join(place, seedName(seed))));
      // Another batch size rounds differently, which can carry a value over the border of a byte.
      expect(maxDeviation(one!, other!)).toBeLessThanOrEqual(1);
      expect(one!.filter((value, i) => value !== other![i]).length).toBeLessThan(10);
    }
    expect(maxDeviation(pixels(join(name, seedName(3))), pixels(join(name, seedName(4))))).toBeGreaterThan(20);
  });

  test("--solver is a name of --sampler; bf16 draws nearly the same", async () => {
    await draw(net, "--solver=euler", "--steps=6", "--seeds=1", "--outdir=solver");
    await draw(net, "--sampler=euler", "--steps=6", "--seeds=1", "--outdir=sampler");
    await draw(net, "--sampler=euler", "--steps=6", "--seeds=1", "--outdir=half", "--precision=bf16");
    const [solver, sampler, half] = ["solver", "sampler", "half"].map((name) => pixels(join(name, seedName(1))));
    expect(solver).toEqual(sampler);
    expect(maxDeviation(half!, sampler!)).toBeGreaterThan(0);
    expect(maxDeviation(half!, sampler!)).toBeLessThan(40);
  });

  test("a network that knows some noise levels only, with steps that fall on one", async () => {
    for (const sampler of ["heun", "dpm++2m", "dpm++2m-sde"]) {
      const outdir = `levels-${sampler}`;
      await draw(
        "--network=steps.safetensors",
        `--sampler=${sampler}`,
        "--steps=128",
        "--seeds=1",
        `--outdir=${outdir}`,
      );
      const found = pixels(join(outdir, seedName(1)));
      // What is no number becomes black.
      expect(found.some((value) => value > 0)).toBe(true);
    }
  });

  test("says what has no effect", async () => {
    expect(await draw(net, "--S_max=1", "--S_noise=1.003", "--seeds=1", "--steps=2", "--grid=idle.png")).toMatch(
      /note: --S_max, --S_noise without effect.*--S_churn/,
    );
  });
});

describe("a set of images", () => {
  const set = [net, "--outdir=set", "--seeds=0-9", "--steps=2", "--batch=4"];

  test("is completed by the same command", async () => {
    await draw(...set);
    const all = Array.from({ length: 10 }, (_, seed) => seedName(seed));
    expect(readdirSync(at("set")).sort()).toEqual([...all, GENERATE_OPTIONS_FILE]);
    const before = pixels(join("set", seedName(7)));
    for (const seed of [2, 7]) rmSync(at("set", seedName(seed)));
    // More seeds, another batch and another grid are the same pictures.
    const said = await draw(...set.slice(0, 2), "--seeds=0-10", "--steps=2", "--batch=8", "--grid=set.png");
    expect(said).toMatch(/3 of 3 images/);
    expect(pngs("set")).toEqual([...all, seedName(10)]);
    expect(maxDeviation(pixels(join("set", seedName(7))), before)).toBeLessThanOrEqual(1);
    expect(decode(readFileSync(at("set.png"))).width).toBe(32);
    expect(await draw(...set)).toMatch(/all were there already/);
  });

  test("is not mixed with other images", async () => {
    await expectFailure(1, [...["generate", ...set], "--rho=5"], /set holds.*other options \(rho: 7 there, 5 here\)/);
    const other = ["generate", "--network=classes.safetensors", ...set.slice(1)];
    await expectFailure(1, other, /set holds.*other options \(network_sha256/);
    await expectFailure(1, ["generate", ...set, "--subdirs"], /set holds.*other options \(subdirs/);
    const noisy = [net, "--outdir=noisy", "--seeds=0", "--steps=2", "--sampler=dpm++2m-sde"];
    await draw(...noisy, "--solver-type=heun");
    await expectFailure(
      1,
      ["generate", ...noisy],
      /noisy holds.*options \(solverType: "heun" there, "midpoint" here\)/,
    );
    await draw(net, "--outdir=foreign", "--seeds=1", "--steps=2");
    rmSync(at("foreign", GENERATE_OPTIONS_FILE));
    await expectFailure(
      1,
      ["generate", net, "--outdir=foreign", "--seeds=1"],
      /foreign holds images.*no generate_options/,
    );
    mkdirSync(at("labelled"));
    writeFileSync(at("labelled", "dataset.json"), '{"labels": [["photo.jpg", 7]]}');
    const labelled = ["generate", "--network=classes.safetensors", "--outdir=labelled", "--seeds=1"];
    await expectFailure(1, labelled, /labelled holds a dataset\.json but no generate_options/);
  });

  test("an interrupt keeps what is drawn, and the same command goes on", async () => {
    const slow = [net, "--outdir=slow", "--seeds=0-39", "--sampler=pc", "--steps=40", "--batch=8"];
    const { child, ended, saying } = start(["generate", ...slow]);
    await saying(/8 of 40 images/);
    child.kill("SIGINT");
    const { code, stdout, stderr } = await ended;
    expect([code, stderr]).toEqual([130, ""]);
    expect(stdout).toMatch(/stopped; the same command draws the rest into slow/);
    const drawn = pngs("slow").length;
    expect(drawn).toBeGreaterThanOrEqual(8);
    expect(drawn).toBeLessThan(40);
    expect(await draw(...slow)).toMatch(new RegExp(`${40 - drawn} of ${40 - drawn} images`));
    expect(pngs("slow")).toHaveLength(40);
  });

  test("sub-folders, one for every thousand seeds", async () => {
    await draw(net, "--outdir=deep", "--subdirs", "--seeds=5,999,1000,12345", "--steps=2");
    expect(pngs("deep")).toEqual([
      join("000000", "000005.png"),
      join("000000", "000999.png"),
      join("001000", "001000.png"),
      join("012000", "012345.png"),
    ]);
  });

  test("a zip archive, which is a data set", async () => {
    const options = ["--network=classes.safetensors", "--seeds=0-5", "--steps=2"];
    await draw(...options, "--outdir=plain");
    await draw(...options, "--outdir=packed.zip");
    expect(existsSync(at("packed.zip.parts"))).toBe(false);
    const bank = await openDataset(at("packed.zip"));
    expect([bank.count, bank.shape]).toEqual([6, { channels: 3, height: 8, width: 8 }]);
    const labels = Array.from(bank.labels!);
    expect(labels.every((label) => label >= 0 && label < 4)).toBe(true);
    const rows = bank.pixels.toTypedArray() as Uint8Array;
    for (let seed = 0; seed < 6; seed++) {
      const image = pixels(join("plain", seedName(seed)));
      const planes = Array.from({ length: 192 }, (_, i) => image[(i % 64) * 3 + Math.floor(i / 64)]!);
      expect(maxDeviation(rows.subarray(192 * seed, 192 * (seed + 1)), planes)).toBeLessThanOrEqual(1);
    }
    bank.dispose();
    const plain = await openDataset(at("plain"));
    expect(Array.from(plain.labels!)).toEqual(labels);
    plain.dispose();
    // The class that a seed decides is the one that the picture was drawn with.
    await draw(...options.slice(0, 1), `--class=${labels[3]}`, "--seeds=3", "--steps=2", "--outdir=third");
    expect(maxDeviation(pixels(join("third", seedName(3))), pixels(join("plain", seedName(3))))).toBeLessThanOrEqual(1);
    await expectFailure(1, ["generate", ...options, "--outdir=packed.zip"], /packed\.zip exists already/);
  });

  test("an archive is completed too, and what was damaged on the way is drawn again", async () => {
    const set = [net, "--seeds=0-39", "--batch=8", "--steps=12", "--outdir=parts.zip", "--sampler=pc"];
    const { child, ended, saying } = start(["generate", ...set]);
    await saying(/8 of 40 images/);
    child.kill("SIGKILL");
    expect((await ended).code).toBe(null);
    const whole = readFileSync(at("parts.zip.parts", seedName(2)));
    writeFileSync(at("parts.zip.parts", seedName(2)), whole.subarray(0, 60));
    const said = await draw(...set);
    expect(said).toMatch(/exist already/);
    expect(existsSync(at("parts.zip.parts"))).toBe(false);
    const bank = await openDataset(at("parts.zip"));
    expect(bank.count).toBe(40);
    bank.dispose();
  });

  test.each(["whole.zip", "whole.npz"])("%s is complete when only its parts were left to remove", async (name) => {
    const set = [net, "--seeds=0-39", "--batch=8", "--steps=12", `--outdir=${name}`, "--sampler=pc"];
    const { child, ended, saying } = start(["generate", ...set]);
    await saying(/8 of 40 images/);
    child.kill("SIGKILL");
    await ended;
    cpSync(at(`${name}.parts`), at("copy"), { recursive: true });
    await draw(...set);
    const archive = readFileSync(at(name));
    renameSync(at("copy"), at(`${name}.parts`));
    // Other seeds are another set.
    const other = set.map((word) => word.replace("0-39", "1-40"));
    await expectFailure(1, ["generate", ...other], /exists already/);
    expect(await draw(...set)).toMatch(/all were there already/);
    expect(existsSync(at(`${name}.parts`))).toBe(false);
    expect(readFileSync(at(name)).equals(archive)).toBe(true);
    await expectFailure(1, ["generate", ...set], /exists already/);
  });

  test("a folder that is gone under way is said in one line", async () => {
    const set = [net, "--seeds=0-39", "--batch=8", "--steps=12", "--outdir=gone", "--sampler=pc"];
    const { ended, saying } = start(["generate", ...set]);
    await saying(/8 of 40 images/);
    rmSync(at("gone"), { recursive: true });
    writeFileSync(at("gone"), "in the way");
    const { code, stderr } = await ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^stf: an image cannot be written to gone: a file of that name exists; [^\n]*same command[^\n]*\n$/,
    );
  });

  test("an npz file, as NumPy writes them", async () => {
    await draw(net, "--seeds=0-2", "--steps=2", "--outdir=one.npz");
    await draw(net, "--seeds=0-2", "--steps=2", "--outdir=same");
    const bytes = readFileSync(at("one.npz"));
    const text = bytes.toString("latin1");
    const header = text.indexOf("\x93NUMPY\x01\x00");
    const length = bytes.readUInt16LE(header + 8);
    const description = text.slice(header + 10, header + 10 + length);
    expect(description.trim()).toBe("{'descr': '|u1', 'fortran_order': False, 'shape': (3, 8, 8, 3), }");
    expect((10 + length) % 64).toBe(0);
    const values = Array.from(bytes.subarray(header + 10 + length, header + 10 + length + 3 * 192));
    expect(values).toEqual([0, 1, 2].flatMap((seed) => pixels(join("same", seedName(seed)))));
  });

  test("an animation", async () => {
    await draw(net, "--seeds=0-3", "--steps=5", "--trajectory=way.gif", "--grid=way.png");
    const found = await sharp(at("way.gif"), { pages: -1 }).metadata();
    expect([found.pages, found.width, found.pageHeight]).toEqual([5, 16, 16]);
    // Its last frame is the grid.
    const last = await sharp(at("way.gif"), { page: 4 }).removeAlpha().raw().toBuffer();
    expect(maxDeviation(Array.from(last), pixels("way.png"))).toBeLessThan(60);
    await draw("--network=grey.safetensors", "--seeds=0", "--sampler=rk45", "--rtol=0.01", "--trajectory=way.webp");
    expect((await sharp(at("way.webp"), { pages: -1 }).metadata()).pages).toBeGreaterThan(2);
  });
});

describe("several processes", () => {
  test("draw one set together", async () => {
    const options = [net, "--seeds=0-10", "--steps=3", "--batch=2"];
    await draw(...options, "--outdir=alone", "--grid=alone.png");
    const { code, stdout, stderr } = await stf([
      ...["launch", "--nproc=3", "--", "generate", ...options],
      ...["--outdir=together", "--grid=together.png"],
    ]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout.match(/images in together/g)).toHaveLength(1);
    expect(pngs("together")).toEqual(pngs("alone"));
    expect(maxDeviation(pixels("together.png"), pixels("alone.png"))).toBeLessThanOrEqual(1);
  });

  test("take their share from the environment", async () => {
    const options = ["generate", net, "--seeds=0-10", "--steps=2", "--batch=2", "--outdir=shares"];
    const first = start(options, { RANK: "0", WORLD_SIZE: "2" });
    await first.saying(/waiting for 5 images of other processes/);
    // Six batches: the first five of two images, and one of one.
    expect(pngs("shares")).toEqual([0, 1, 4, 5, 8, 9].map(seedName));
    const second = await stf(options, { RANK: "1", WORLD_SIZE: "2" });
    expect([second.code, second.stdout, second.stderr]).toEqual([0, "", ""]);
    expect((await first.ended).code).toBe(0);
    expect(pngs("shares")).toHaveLength(11);
  });

  test("one that fails ends all, with its exit code", async () => {
    // The second finds a file where it wants a folder; the first waits for its images.
    await draw(net, "--seeds=0-3", "--batch=4", "--steps=2", "--subdirs", "--outdir=wedged");
    writeFileSync(at("wedged", "001000"), "in the way");
    const options = [
      "generate",
      net,
      "--seeds=0-3,1000-1003",
      "--batch=4",
      "--steps=2",
      "--subdirs",
      "--outdir=wedged",
    ];
    const { code, stderr } = await stf(["launch", "--nproc=2", "--", ...options]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/001000 cannot be made: a file of that name exists/);
  });

  test("a process that comes when the archive is packed has nothing to do", async () => {
    const options = ["generate", net, "--seeds=0", "--steps=2", "--outdir=late.zip"];
    expect((await stf(options, { RANK: "0", WORLD_SIZE: "2" })).code).toBe(0);
    const late = await stf(options, { RANK: "1", WORLD_SIZE: "2" });
    expect([late.code, late.stdout, late.stderr]).toEqual([0, "", ""]);
  });

  test("wrong variables are told", async () => {
    const { code, stderr } = await stf(["generate", net, "--outdir=x"], { RANK: "2", WORLD_SIZE: "2" });
    expect([code, stderr]).toEqual([2, expect.stringMatching(/^stf: .*RANK must be below WORLD_SIZE.*\n$/)]);
    const half = await stf(["generate", net, "--outdir=x"], { WORLD_SIZE: "2" });
    expect([half.code, half.stderr]).toEqual([2, expect.stringMatching(/RANK must be set if WORLD_SIZE/)]);
    const alone = await stf(["generate", net, "--grid=x.png"], { WORLD_SIZE: "2", RANK: "0" });
    expect([alone.code, alone.stderr]).toEqual([2, expect.stringMatching(/--outdir/)]);
  });
});

describe("conditions", () => {
  test("a mask that keeps everything is noted", async () => {
    const white = new Uint8Array(64).fill(255);
    writeFileSync(at("white.png"), encode({ width: 8, height: 8, channels: 1, depth: 8, data: white }));
    const masked = ["--image=photo.png", "--mask=white.png", "--S_max=inf", "--S_churn=1"];
    const { code, stdout } = await stf(["generate", net, ...masked, "--seeds=0", "--steps=2", "--grid=kept.png"]);
    expect([code, stdout]).toEqual([0, expect.stringMatching(/note: --mask keeps every pixel/)]);
  });

  test("inpainting keeps what is white in the mask", async () => {
    await draw(net, "--image=photo.png", "--mask=mask.png", "--seeds=0,1", "--steps=4", "--outdir=inpainted");
    await draw(
      net,
      "--image=photo.png",
      "--mask=mask.png",
      "--seeds=0",
      "--outdir=walked",
      "--sampler=pc",
      "--steps=8",
    );
    const photo = pixels("photo.png");
    const known = 96;
    for (const path of [join("inpainted", seedName(0)), join("inpainted", seedName(1)), join("walked", seedName(0))]) {
      expect(maxDeviation(pixels(path).slice(0, known), photo.slice(0, known))).toBeLessThanOrEqual(1);
    }
    const [one, other] = [0, 1].map((seed) => pixels(join("inpainted", seedName(seed))).slice(known));
    expect(maxDeviation(one!, other!)).toBeGreaterThan(20);
    // With other pixels there the drawn ones are others: the network has seen them.
    await draw(net, "--seeds=0", "--steps=4", "--outdir=free");
    expect(maxDeviation(pixels(join("free", seedName(0))).slice(known), one!)).toBeGreaterThan(2);
  });

  test("colouring keeps the grey values", async () => {
    // Values in the middle: where a channel is clipped the mean moves.
    const dim = Uint8Array.from({ length: 64 }, (_, i) => 118 + (i % 20));
    writeFileSync(at("dim.png"), encode({ width: 8, height: 8, channels: 1, depth: 8, data: dim }));
    await draw(net, "--image=dim.png", "--colorize", "--seeds=0", "--steps=4", "--outdir=coloured");
    const found = pixels(join("coloured", seedName(0)));
    let compared = 0;
    for (let i = 0; i < 64; i++) {
      const colours = found.slice(3 * i, 3 * i + 3);
      if (colours.some((value) => value === 0 || value === 255)) continue;
      compared++;
      expect(Math.abs(colours.reduce((sum, value) => sum + value, 0) / 3 - dim[i]!)).toBeLessThanOrEqual(1);
    }
    expect(compared).toBeGreaterThan(10);
  });

  test("image to image stays the nearer the less noise there is", async () => {
    const photo = pixels("photo.png");
    const distances: number[] = [];
    for (const sigma of ["0.01", "0.3", "20"]) {
      await draw(net, "--image=photo.png", `--from-sigma=${sigma}`, "--seeds=0", "--steps=6", `--outdir=from-${sigma}`);
      const found = pixels(join(`from-${sigma}`, seedName(0)));
      distances.push(Math.sqrt(found.reduce((sum, value, i) => sum + (value - photo[i]!) ** 2, 0) / photo.length));
    }
    expect(distances[0]).toBeLessThan(distances[1]!);
    expect(distances[1]).toBeLessThan(distances[2]!);
    expect(distances[0]).toBeLessThan(4);
  });

  test("guidance, by no class and by a second network", async () => {
    const common = ["--network=classes.safetensors", "--class=2", "--seeds=0", "--steps=3"];
    await draw(...common, "--outdir=unguided");
    expect(await draw(...common, "--guidance=30", "--outdir=guided")).toMatch(/10 network evaluations/);
    await draw(...common, "--guidance=30", "--gnet=net.safetensors", "--outdir=by-another");
    const [plain, guided, other] = ["unguided", "guided", "by-another"].map((name) => pixels(join(name, seedName(0))));
    expect(maxDeviation(guided!, plain!)).toBeGreaterThan(2);
    expect(maxDeviation(other!, guided!)).toBeGreaterThan(2);
    // Away from itself is nowhere.
    await draw(...common, "--guidance=30", "--gnet=classes.safetensors", "--outdir=by-itself");
    expect(maxDeviation(pixels(join("by-itself", seedName(0))), plain!)).toBeLessThanOrEqual(1);
  });
});

/** What the command says of the error. */
function messageOf(body: () => void): string {
  try {
    body();
  } catch (error) {
    return withFlags((error as Error).message);
  }
  return "nothing was thrown";
}

describe("options that do not fit together", () => {
  test.each<[string[], RegExp]>([
    [["--sampler=rk45", "--S_churn=3"], /--S_churn.*--sampler=rk45.*heun, euler/],
    [["--sampler=heun", "--snr=3"], /--snr.*only with pc/],
    [["--sampler=rk45", "--steps=3"], /--steps.*--sampler=rk45/],
    [["--sampler=dpm++2m", "--eta=0.5"], /--eta.*only with dpm\+\+2m-sde/],
    [["--solver-type=heun"], /--solver-type.*--sampler=heun, only with dpm\+\+2m-sde/],
    [["--solver=heun", "--sampler=euler"], /--solver=heun and --sampler=euler/],
    [["--disc=vp", "--sigma_max=0.001"], /--sigma_min must be below --sigma_max/],
    [["--sigma_min=90"], /--sigma_min must be below --sigma_max.*90 and 80/],
    [["--image=photo.png"], /--image needs --mask.*--colorize.*--from-sigma/],
    [["--mask=mask.png"], /--mask needs an --image/],
    [["--from-sigma=1"], /--from-sigma needs an --image/],
    [["--image=photo.png", "--mask=mask.png", "--colorize=1"], /--mask and --colorize/],
    [["--image=photo.png", "--from-sigma=3", "--sigma_max=9"], /leave out --sigma_max/],
    [["--gnet=net.safetensors"], /--gnet.*--guidance/],
    [["--disc=vp", "--rho=3"], /--rho has no effect with --disc=vp/],
    [["--sampler=pc", "--corrector=none", "--snr=0.3"], /--snr has no effect with --corrector=none/],
    [["--sampler=pc", "--corrector=none", "--predictor=none"], /must not both be none/],
  ])("%j", (args, says) => {
    const given = parse(
      generateFields,
      Object.fromEntries(
        args.map((arg) => {
          const [, flag, value] = /^(--[^=]+)=(.*)$/.exec(arg) as unknown as [string, string, string];
          const key = Object.keys(generateFields).find((name) => flagOf(name) === flag) as string;
          return [key, value];
        }),
      ),
    );
    const check = (): void => checkTogether(given, resolve(generateFields, given));
    expect(check).toThrow(UsageError);
    expect(messageOf(check)).toMatch(says);
  });
});

describe("what makes no sense is one line", () => {
  const grid = "--grid=no.png";
  test.each<[number, string[], RegExp]>([
    [2, [net, grid, "--seeds=1-3,2"], /--seeds.*2 twice/],
    [2, [net, grid, "--seeds=4294967296"], /--seeds.*0 to 4294967295/],
    [2, [net, grid, "--S_churn=1", "--S_min=5", "--S_max=1"], /--S_min.*--S_max.*5 and 1/],
    [1, ["--network=elsewhere.pkl", grid], /npx stf import elsewhere\.pkl/],
    [1, ["--network=.", grid], /\. must be a network snapshot or a run folder with some, found neither/],
    [2, [net, grid, "--sampler=rk45", "--S_churn=3"], /--S_churn.*--sampler=rk45/],
    [
      2,
      [net, grid, "--image=photo.png", "--from-sigma=0.001"],
      /--from-sigma must be above.*0\.002, found 0\.001; lower --sigma_min/,
    ],
    [2, [net, grid, "--guidance=2"], /--guidance needs a class-conditional/],
    [2, ["--network=told.safetensors", grid, "--guidance=2"], /--label-dropout=0/],
    [2, [net, grid, "--gnet=grey.safetensors", "--guidance=2"], /--gnet.*8x8x3.*8x8x1/],
    [2, [net, "--grid=no.gif"], /--grid.*\*\.png.*no\.gif/],
    [2, [net, "--trajectory=no.png"], /--trajectory.*\*\.gif or \*\.webp/],
    [2, [net, "--trajectory=no.gif", "--seeds=0-99"], /--trajectory.*64.*100/],
    [2, [net, grid, "--subdirs"], /--subdirs.*--outdir/],
    [2, [net, grid, "--sampler=pc", "--process=vp", "--steps=20"], /vp needs more --steps, found 20/],
    [2, [net, grid, "--sampler=pc", "--process=subvp", "--predictor=ancestral"], /ancestral.*subvp/],
    [2, [net, grid, "--sampler=pc", "--process=vp", "--sigma_max=9"], /vp has noise levels of its own/],
    [2, [net, grid, "--disc=vp", "--sigma_min=0.2"], /cannot go from noise level 152.* to 0\.2/],
    [2, ["--network=exploding.safetensors", grid, "--sampler=pc", "--process=vp"], /vp has noise levels.*0\.02 to 100/],
    [2, ["--network=grey.safetensors", grid, "--image=mask.png", "--colorize"], /--colorize needs.*in colour/],
    [
      2,
      [net, grid, "--rho=1e-5"],
      /18 noise levels from 80 to 0\.002 with rho 0\.00001 must be finite.*NaN; bring --rho/,
    ],
    [2, [net, grid, "--schedule=vp", "--sigma_max=1e200"], /must be finite.*--sigma_max closer/],
    [2, [net, grid, "--steps=100000000000"], /--steps must be a whole number from 2 to 1000000/],
    [2, [net, grid, "--disc=iddpm", "--steps=2000"], /iddpm has \d+ levels.*2000/],
    [1, ["--network=damaged.safetensors", grid], /damaged\.safetensors cannot be read.*truncated/],
    [1, ["--network=photo.png", grid], /photo\.png/],
    [1, [net, grid, "--image=large.png", "--from-sigma=1"], /large\.png must have the size.*8x8.*9x8/],
    [1, [net, grid, "--image=net.safetensors", "--from-sigma=1"], /net\.safetensors is not a PNG/],
    [1, [net, grid, "--image=nowhere.png", "--from-sigma=1"], /no image at nowhere\.png/],
    [1, ["--network=grey.safetensors", grid, "--image=photo.png", "--from-sigma=1"], /photo\.png must be grey/],
    [1, [net, "--outdir=mask.png"], /mask\.png.*a file of that name exists/],
    [1, [net, "--outdir=/proc/no"], /\/proc\/no cannot be made.*--outdir/],
  ])("exit code %s: %j", async (code, args, says) => {
    await expectFailure(code, ["generate", ...args], says);
  });
});

test("numbers that are not finite make no pictures", async () => {
  const options = ["--gnet=net.safetensors", "--guidance=1e200", "--seeds=0,1", "--steps=2", "--outdir=infinite"];
  const { code, stderr } = await stf(["generate", "--network=classes.safetensors", ...options]);
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/^stf: the images are not finite.*NaN.*lower --guidance=1e\+200\n$/),
  ]);
  expect(pngs("infinite")).toEqual([]);
});

describe("likelihood", () => {
  test("bits per dimension with error bars, equal for equal seeds, whatever the batch", async () => {
    await draw(net, "--outdir=asked", "--seeds=0-5", "--steps=8");
    const options = ["likelihood", net, "--data=asked", "--probes=2", "--repeats=2", "--rtol=0.001", "--atol=0.001"];
    const first = await stf([...options, "--dest=results/bits.json"]);
    expect([first.code, first.stderr]).toEqual([0, ""]);
    expect(first.stdout).toMatch(/bits\/dim \+- \d+\.\d{4} over images, \+- \d+\.\d{4} over repeats/);
    expect(first.stdout).toMatch(/for 6 images with 2 probes each; edm, noise levels 0\.002 to 80, rtol 0\.001/);
    const second = await stf([...options, "--batch=4", "--dest=other.json"]);
    expect(second.code).toBe(0);
    const read = (path: string): { bitsPerDimension: number; perImage: number[]; protocol: Protocol } =>
      JSON.parse(readFileSync(at(path), "utf8"));
    const [one, other] = [read("results/bits.json"), read("other.json")];
    expect(maxDeviation(one.perImage, other.perImage)).toBeLessThan(0.01);
    expect(one.protocol.method).toMatchObject({
      images: { count: 6 },
      flow: { process: "edm" },
      estimate: { probes: 2, repeats: 2, seed: 0 },
    });
    expect(methodDifferences(one.protocol, other.protocol)).toEqual([]);
    const reseeded = await stf([...options, "--seed=1", "--dest=third.json"]);
    expect(reseeded.code).toBe(0);
    expect(maxDeviation(read("third.json").perImage, one.perImage)).toBeGreaterThan(1e-4);
  });

  test("a class-conditional network asks for labels", async () => {
    const options = ["likelihood", "--network=classes.safetensors", "--rtol=0.01", "--atol=0.01"];
    await expectFailure(1, [...options, "--data=asked"], /asked must have class labels.*--class=none/);
    const { code } = await stf([...options, "--data=asked", "--class=none", "--num=2"]);
    expect(code).toBe(0);
  });

  test.each<[number, string[], RegExp]>([
    [2, [], /--network/],
    [2, [net], /--data/],
    [2, [net, "--data=asked", "--sigma_min=90"], /--sigma_min.*90 and 80/],
    [2, [net, "--data=asked", "--process=vp", "--sigma_min=0.1"], /--process=vp has noise levels of its own/],
    [1, [net, "--data=nowhere"], /no data set at nowhere/],
    [1, [net, "--data=asked", "--dest=asked"], /asked cannot be written: it is a folder.*--dest/],
    [1, ["--network=grey.safetensors", "--data=asked"], /asked must hold images of 8x8x1.*8x8x3/],
  ])("exit code %s: %j", async (code, args, says) => {
    await expectFailure(code, ["likelihood", ...args], says);
  });
});
