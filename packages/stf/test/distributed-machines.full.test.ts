/** Trainings on several machines, which processes of one machine under different host names stand for. */

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { loadSafetensors, saveSafetensors } from "@stf/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodePng } from "../src/codecs/png.js";
import { stampedNames } from "../src/run/files.js";
import { type Command, commandIn, type Ended, type Started } from "./cli-support.js";
import { startRanks } from "./ranks-support.js";
import { blobs } from "./support.js";

let folder: string;
let command: Command;
const shape = { channels: 1, height: 8, width: 8 };
const perClass = 8;

/** Images in folders "1", "2" and "10", of which one pixel may be another. */
function makeImages(name: string, change = 0): void {
  const bank = blobs(3 * perClass, 8);
  const pixels = bank.pixels.toTypedArray() as Uint8Array;
  pixels[5] = (pixels[5] as number) ^ change;
  for (let i = 0; i < 3 * perClass; i++) {
    const own = join(folder, name, ["1", "2", "10"][i % 3] as string);
    mkdirSync(own, { recursive: true });
    writeFileSync(join(own, `${i}.png`), encodePng(pixels.subarray(64 * i, 64 * (i + 1)), shape));
  }
  bank.dispose();
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "stf-machines-"));
  command = commandIn(folder);
  makeImages("here");
  makeImages("there");
  makeImages("changed", 1);
});

afterAll(() => {
  command.killAll();
  rmSync(folder, { recursive: true, force: true });
});

const training = [
  ...["train", "--preset=published", "--outdir=runs", "--seed=1", "--augment=0", "--cond=1", "--batch=6", "--stf"],
  ...["--cbase=8", "--cres=1", "--num-blocks=1", "--attn=0", "--rbatch=8", "--tick=0.006", "--save-every=0"],
];

const preload = pathToFileURL(fileURLToPath(new URL("other-host.mjs", import.meta.url)));

/** Each process on a machine of its own. */
const onMachines = (options: readonly string[], data: readonly string[]): Promise<Started[]> =>
  startRanks(command, data.length, [...training, ...options], {
    args: (rank) => [`--data=${data[rank]}`],
    env: (rank) => ({ NODE_OPTIONS: `--import=${preload}`, STF_TEST_HOST: `machine${rank}`, LOCAL_RANK: "" }),
  });

const ends = (started: readonly Started[]): Promise<Ended[]> => Promise.all(started.map(({ ended }) => ended));

describe("each machine reads its own images", { timeout: 120_000 }, () => {
  test("a pixel that differs is found", async () => {
    for (const { stderr, code } of await ends(
      await onMachines(["--name=pixel", "--duration=0.000006"], ["here", "changed"]),
    )) {
      expect(stderr).toBe(
        "stf: all processes must have the same images; those of rank 1 differ from those of rank 0\n",
      );
      expect(code).toBe(2);
    }
    expect(readdirSync(folder)).not.toContain("runs");
  });

  test("with the classes numbered as when the run was started", async () => {
    const run = join(folder, "runs", "numbered");
    const begin = await ends(await onMachines(["--name=numbered", "--duration=0.000006"], ["here", "there"]));
    for (const ended of begin) expect({ ...ended, stdout: "" }).toEqual({ code: 0, stderr: "", stdout: "" });
    // An earlier version, which sorted the names as text and did not store them.
    const path = join(run, stampedNames(readdirSync(run), "training-state").at(-1) as string);
    const { tensors, metadata: stored } = loadSafetensors(path);
    const { checksum: _checksum, ...metadata } = stored;
    const { classNames, imagesDigest, ...options } = JSON.parse(metadata["options"] as string) as Record<
      string,
      unknown
    >;
    expect(classNames).toEqual(["1", "2", "10"]);
    expect(imagesDigest).toBeDefined();
    saveSafetensors(path, tensors, { ...metadata, options: JSON.stringify(options) });
    for (const tensor of tensors.values()) tensor.dispose();
    const again = await ends(await onMachines(["--name=numbered", "--duration=0.000012"], ["here", "there"]));
    for (const ended of again) expect({ ...ended, stdout: "" }).toEqual({ code: 0, stderr: "", stdout: "" });
    expect(readFileSync(join(run, "log.txt"), "utf8")).toMatch(/resumed +at 6 images/);
  });
});
