/** A run has one line of history, whatever happens between its parts. */

import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadSafetensors, memory } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { loadSnapshot, saveNetwork } from "../src/checkpoints/network-file.js";
import { writePng } from "../src/codecs/png.js";
import type { TrainRequest } from "../src/config/train-request.js";
import { jobContext } from "../src/jobs/context.js";
import { generate } from "../src/jobs/generate.js";
import { train } from "../src/jobs/train.js";
import { LOCK_FILE, snapshotPath, statePath } from "../src/run/files.js";
import { soundState } from "../src/run/history.js";
import { lockRun } from "../src/run/lock.js";
import { listener } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "stf-resume-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const data = join(folder, "images");
mkdirSync(data);
for (let i = 0; i < 24; i++) {
  const pixels = Uint8Array.from({ length: 64 }, (_, p) => (p * (i + 3)) % 256);
  writePng(join(data, `${String(i).padStart(2, "0")}.png`), pixels, { channels: 1, height: 8, width: 8 });
}

/** A state and a line of statistics after every step of 8 images, of which there are 5. */
const request: TrainRequest = {
  data,
  outdir: folder,
  stf: false,
  arch: "mlp",
  cbase: 8,
  numBlocks: 1,
  augment: 0,
  batch: 8,
  lrRampup: 0,
  duration: 4e-5,
  tick: 0.008,
  snap: 1,
  dump: 1,
  seed: 3,
};

/** What {@link train} says, in one text. */
async function heard(given: TrainRequest): Promise<string> {
  const { lines, reporter } = listener();
  await train(given, jobContext({ reporter }));
  return lines.join("\n");
}

const kimgs = (run: string): (number | undefined)[] =>
  readFileSync(join(run, "stats.jsonl"), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as Record<string, { mean: number }>)["Progress/kimg"]?.mean);

const states = (run: string): string[] => readdirSync(run).filter((name) => name.startsWith("training-state"));

function sameWeights(a: string, b: string): boolean {
  const [one, other] = [loadSafetensors(a).tensors, loadSafetensors(b).tensors];
  const isSame = [...one].every(([name, values]) => values.equal(other.get(name)!));
  for (const tensor of [...one.values(), ...other.values()]) tensor.dispose();
  return isSame;
}

describe("going back behind what was done", () => {
  test("sets the abandoned future aside, and comes to the same end", async () => {
    const run = join(folder, "back");
    await train({ ...request, name: "back" });
    copyFileSync(statePath(run, 40), join(folder, "end.safetensors"));
    const said = await heard({ resume: statePath(run, 16) });
    const aside = join(run, "abandoned-after-16");
    expect(said).toContain(`set aside   later output of the run, in ${aside}`);
    expect(states(aside)).toEqual([24, 32, 40].map((images) => statePath("", images)));
    expect(existsSync(snapshotPath(aside, 40))).toBe(true);
    expect(kimgs(aside)).toEqual([0.024, 0.032, 0.04]);
    expect(kimgs(run)).toEqual([0.008, 0.016, 0.024, 0.032, 0.04]);
    expect(sameWeights(statePath(run, 40), join(folder, "end.safetensors"))).toBe(true);

    await heard({ resume: statePath(run, 16) });
    expect(states(join(run, "abandoned-after-16-2"))).toHaveLength(3);
  });

  test("a line that a crash has torn goes, and the next one is whole", async () => {
    const run = join(folder, "torn");
    await train({ ...request, name: "torn" });
    appendFileSync(join(run, "stats.jsonl"), '{"Progress/kimg": {"num": 1, "me');
    await train({ resume: run, duration: 4.8e-5 });
    expect(kimgs(run)).toEqual([0.008, 0.016, 0.024, 0.032, 0.04, 0.048]);
    expect(readdirSync(run).some((name) => name.startsWith("abandoned"))).toBe(false);
  });
});

test("lines of statistics that cannot be read are kept beside the others", async () => {
  const run = join(folder, "edited");
  await train({ ...request, name: "edited" });
  appendFileSync(join(run, "stats.jsonl"), "a line of another program\n");
  await train({ resume: run, duration: 4.8e-5 });
  expect(kimgs(run)).toHaveLength(6);
  expect(readFileSync(join(run, "abandoned-after-40", "stats.jsonl"), "utf8")).toBe("a line of another program\n");
});

test("a run that is resumed and stopped at once has written no line twice", async () => {
  const run = join(folder, "stopped");
  await train({ ...request, name: "stopped" });
  const result = await train({ resume: run, duration: 4.8e-5 }, jobContext({ shouldStop: () => true }));
  expect(result).toMatchObject({ reason: "stopped", images: 40, state: statePath(run, 40) });
  expect(kimgs(run)).toEqual([0.008, 0.016, 0.024, 0.032, 0.04]);
});

describe("a state that cannot be used", () => {
  test("the latest is cut short: an earlier one is used, and both are named", async () => {
    const run = join(folder, "cut");
    await train({ ...request, name: "cut" });
    truncateSync(statePath(run, 40), 1000);
    const said = await heard({ resume: run });
    expect(said).toMatch(/note {8}.*training-state-000000040\.safetensors.*; using an earlier state/);
    expect(said).toContain(`at 32 images from ${statePath(run, 32)}`);
    expect(sameWeights(statePath(run, 40), join(folder, "end.safetensors"))).toBe(true);
    truncateSync(statePath(run, 40), 1000);
    const { tensors } = memory();
    await expect(train({ resume: statePath(run, 32), cbase: 4 })).rejects.toThrow(/'cbase' is fixed for the run/);
    await expect(train({ resume: statePath(run, 32), data: folder })).rejects.toThrow();
    expect(memory().tensors).toBe(tensors);
    await expect(train({ resume: statePath(run, 40) })).rejects.toThrow(
      /; the same folder has training-state-000000032/,
    );
    for (const name of states(run)) truncateSync(join(run, name), 1000);
    await expect(train({ resume: run })).rejects.toThrow(/training-state-000000040/);
  });

  test("the latest is another run's", async () => {
    const run = join(folder, "mixed");
    await train({ ...request, name: "mixed" });
    await train({ ...request, name: "wide", cbase: 16 });
    copyFileSync(statePath(join(folder, "wide"), 40), statePath(run, 48));
    const said = await heard({ resume: run, duration: 4.8e-5 });
    expect(said).toMatch(
      /training-state-000000048\.safetensors belongs to another run: its 'cbase' is 16.*8; using an earlier/,
    );
    expect(said).toContain("at 40 images");
  });
});

test("what a resumed run changes is said and kept; the images may have moved", async () => {
  await train({ ...request, name: "changed" });
  const run = join(folder, "changed");
  const moved = join(folder, "moved");
  renameSync(data, moved);
  await expect(train({ resume: run, duration: 4.8e-5 })).rejects.toThrow(
    /images of the run cannot be read: .*set 'data' to their current path/,
  );
  const more: TrainRequest = { lr: 5e-4, stf: true, rbatch: 16, batch: 4, duration: 4.8e-5 };
  const said = await heard({ resume: run, data: moved, ...more });
  renameSync(moved, data);
  expect(said).toContain("changed     'lr' 0.001 -> 0.0005");
  expect(said).toContain("changed     'stf' false -> true");
  expect(readFileSync(join(run, "log.txt"), "utf8")).toContain("'lr' 0.001 -> 0.0005");
  const saved = JSON.parse(readFileSync(join(run, "training_options.json"), "utf8")) as TrainRequest;
  expect(saved).toMatchObject({ ...more, data: moved, cbase: 8 });
});

test("two processes do not train one run", async () => {
  await train({ ...request, name: "locked" });
  const run = join(folder, "locked");
  {
    using _held = lockRun(run);
    await expect(train({ resume: run, duration: 4.8e-5 })).rejects.toThrow(
      /being trained by another process \(process \d+\)/,
    );
  }
  await train({ resume: run, duration: 4.8e-5 });
  expect(kimgs(run)).toHaveLength(6);
  expect(existsSync(join(run, LOCK_FILE))).toBe(true);
});

describe("divergence", () => {
  test("ends with the reason in the log, and with the state to go on from", async () => {
    await train({ ...request, name: "diverging" });
    const run = join(folder, "diverging");
    const diverging = train({ resume: run, lr: 1e30, duration: 8e-5 });
    await expect(diverging).rejects.toThrow(
      /diverged after \d+ images.*'resume=.*training-state-000000040.*'lr=0.001'/,
    );
    expect(readFileSync(join(run, "log.txt"), "utf8")).toMatch(/ended after \d+ images: training diverged/);
    const state = soundState(run)!;
    await train({ resume: state, lr: 1e-3, duration: 8e-5 });
    expect(kimgs(run).at(-1)).toBe(0.08);
  });

  test("the state from before the loss rose is the sound one", () => {
    const run = mkdtempSync(join(folder, "rose-"));
    const line = (kimg: number, loss: number): string =>
      JSON.stringify({
        "Progress/kimg": { num: 1, mean: kimg, std: 0 },
        "Loss/loss": { num: 1, mean: loss, std: 0 },
        timestamp: 0,
      });
    const losses: [number, number][] = [
      [1, 2],
      [2, 0.5],
      [3, 0.4],
      [4, 900],
      [5, 0.6],
    ];
    writeFileSync(join(run, "stats.jsonl"), losses.map(([kimg, loss]) => `${line(kimg, loss)}\n`).join(""));
    for (const images of [1000, 2000, 3000, 4000, 5000]) writeFileSync(statePath(run, images), "");
    // What the state at 3000 did next is the loss of 900.
    expect(soundState(run)).toBe(statePath(run, 2000));
  });

  test("a network that was saved on the way there draws with a remark", async () => {
    await train({ ...request, name: "remarked" });
    const path = snapshotPath(join(folder, "remarked"), 40);
    const { lines, reporter } = listener();
    const draw = (network: string): Promise<unknown> =>
      generate({ network, seeds: [0], steps: 2, grid: join(folder, "grid.png") }, jobContext({ reporter }));
    await draw(path);
    expect(lines.join("\n")).not.toContain("diverged");
    const { denoiser, config, about } = loadSnapshot(path);
    saveNetwork(path, denoiser, config, { ...about, loss: 4e7, lowestLoss: 0.2 });
    await draw(path);
    expect(lines.join("\n")).toMatch(/saved while its training diverged: the loss was 4\.00e\+7, up from 0\.200/);
    denoiser.dispose();
  });
});
