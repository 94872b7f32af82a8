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
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, relative } from "node:path";
import { loadSafetensors, memory, readSafetensorsMetadata } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { Dice } from "../../../test/mutations.js";
import { loadSnapshot, saveNetwork } from "../src/checkpoints/network-file.js";
import { runWriter } from "../src/checkpoints/run-writer.js";
import { loadState } from "../src/checkpoints/state-file.js";
import { writePng } from "../src/codecs/png.js";
import { NewLines } from "../src/common/new-lines.js";
import type { TrainRequest } from "../src/config/train-request.js";
import { jobContext, type Reporter, silentReporter } from "../src/jobs/context.js";
import { generate } from "../src/jobs/generate.js";
import { runTraining, train } from "../src/jobs/train.js";
import { planTraining } from "../src/jobs/training-plan.js";
import { imagesInPath, LOCK_FILE, snapshotPath, statePath } from "../src/run/files.js";
import { SoundStates, setAsideAfter, soundStates } from "../src/run/history.js";
import { lockRun } from "../src/run/lock.js";
import { superfluousStates } from "../src/run/retention.js";
import { disposeState, initialState } from "../src/training/state.js";
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

describe("the command that started a run", () => {
  const named: TrainRequest = { ...request, name: "named" };
  const run = join(folder, "named");

  test("continues it, to the same end as without a break", async () => {
    let asked = 0;
    const stopped = await train(named, jobContext({ shouldStop: () => ++asked > 8 }));
    expect(stopped).toMatchObject({ reason: "stopped", images: 24 });
    const { lines, reporter } = listener();
    expect(await train(named, jobContext({ reporter }))).toMatchObject({ reason: "finished", images: 40, folder: run });
    expect(lines.join("\n")).toContain("resumed     at 24 images");
    expect(lines.join("\n")).not.toContain("changed");
    await train({ ...named, name: "unbroken" });
    expect(sameWeights(statePath(run, 40), statePath(join(folder, "unbroken"), 40))).toBe(true);
    expect(await train(named)).toMatchObject({ reason: "complete", images: 40 });
  });

  test("may ask for more, and for what can change", async () => {
    const text = await heard({ ...named, duration: 4.8e-5, lr: 5e-4 });
    expect(text).toContain("'lr' 0.001 -> 0.0005");
    expect(kimgs(run).at(-1)).toBe(0.048);
  });

  test("with another network, data order or preset it is refused, and nothing is touched", async () => {
    const before = readdirSync(run);
    await expect(train({ ...named, cbase: 16, seed: 4 })).rejects.toThrow(
      /a run of the name named already, with other options: 'cbase' 8, now 16, 'seed' 3, now 4; choose another 'name'/,
    );
    await expect(train({ ...named, preset: "fashion-mnist" })).rejects.toThrow(/'cres' none, now 1,1,2/);
    expect(readdirSync(run)).toEqual(before);
  });

  test("starts over what ended before its first state", async () => {
    const early = join(folder, "early");
    mkdirSync(early);
    for (const name of ["training_options.json", "log.txt", "stats.jsonl"]) {
      writeFileSync(join(early, name), readFileSync(join(run, name)));
    }
    const text = await heard({ ...named, name: "early" });
    expect(text).toContain("set aside   earlier output of the run");
    expect(kimgs(early)).toHaveLength(5);
    expect(existsSync(join(early, "abandoned-after-0", "stats.jsonl"))).toBe(true);
  });

  test("a folder of something else is not taken", async () => {
    const other = join(folder, "other");
    mkdirSync(other);
    writeFileSync(join(other, "thesis.txt"), "");
    await expect(train({ ...named, name: "other" })).rejects.toThrow(/needs a folder of its own.*'name'/);
    expect(readdirSync(other)).toEqual(["thesis.txt"]);
  });

  test("resume=latest takes the run whose state was written last", async () => {
    const parent = join(folder, "several");
    for (const name of ["first", "second"]) await train({ ...named, outdir: parent, name });
    utimesSync(statePath(join(parent, "first"), 40), new Date(), new Date(Date.now() + 10_000));
    const more = { duration: 4.8e-5 };
    expect(await train({ resume: "latest", outdir: parent, ...more })).toMatchObject({ folder: join(parent, "first") });
    await expect(train({ resume: "latest", outdir: join(folder, "none") })).rejects.toThrow(
      /has no run with a training/,
    );
  });
});

describe("training states", () => {
  test("become fewer the older they are", async () => {
    const run = join(folder, "thinned");
    await train({ ...request, name: "thinned", duration: 32 * 8e-6, keep: 2 });
    const images = states(run).map((name) => Number(/\d+/.exec(name)?.[0]) / 8);
    expect(images.slice(-2)).toEqual([31, 32]);
    expect(images.length).toBeLessThan(10);
    await train({ resume: run, duration: 34 * 8e-6, keep: "all" });
    expect(states(run)).toHaveLength(images.length + 2);
  });

  test.each([1, 3])("are never further apart than they are old, with %i to keep", (latest) => {
    const random = new Dice(latest);
    let kept: number[] = [];
    let all: number[] = [];
    for (let images = 0; images < 20_000; ) {
      images += 1 + random.below(100);
      all = [...all, images];
      kept = [...kept, images];
      const gone = superfluousStates(kept, latest);
      kept = kept.filter((own) => !gone.includes(own));
      expect(kept.slice(-latest)).toEqual(all.slice(-latest));
      kept.forEach((own, i) => {
        const before = kept[i - 1] ?? 0;
        const wasDirect = all[all.indexOf(own) - 1] === before || all[0] === own;
        expect(wasDirect || own - before <= images - own, `${before} ${own} of ${images}`).toBe(true);
      });
      expect(kept.length).toBeLessThanOrEqual(latest + 3 + 2 * Math.log2(all.length));
    }
  });
});

test("a run that began with another's weights is continued from another folder, too", async () => {
  await train({ ...request, name: "origin" });
  const transfer = relative(".", snapshotPath(join(folder, "origin"), 40));
  const command: TrainRequest = { ...request, name: "transferred", transfer };
  await train(command);
  const before = process.cwd();
  const { lines, reporter } = listener();
  try {
    process.chdir(folder);
    const again = { ...command, transfer: relative(".", join("origin", basename(transfer))), duration: 4.8e-5 };
    await train(again, jobContext({ reporter }));
  } finally {
    process.chdir(before);
  }
  expect(lines.filter((line) => line.startsWith("changed"))).toEqual([expect.stringContaining("'duration'")]);
});

test("a run folder that cannot be written is an error that says so, and does not keep the next one away", async () => {
  const run = join(folder, "unwritable");
  mkdirSync(join(run, "training_options.json", "in-the-way"), { recursive: true });
  await expect(train({ ...request, name: "unwritable" })).rejects.toThrow(
    new RegExp(`the run folder ${run} cannot be written: .*; make room there, or choose another 'outdir'`),
  );
  rmSync(join(run, "training_options.json"), { recursive: true });
  expect(readdirSync(run)).toEqual([LOCK_FILE]);
  writeFileSync(join(run, ".training_options.json.1.partial"), "{");
  expect(await train({ ...request, name: "unwritable" })).toMatchObject({ reason: "finished" });
  await expect(train({ resume: "latest", outdir: join(data, "00.png") })).rejects.toThrow(/has no run with/);
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

test("a run that another process has gone on with since its state was read is not trained from there", async () => {
  await train({ ...request, name: "overtaken" });
  const run = join(folder, "overtaken");
  const [late, named] = [
    await planTraining({ resume: run, duration: 8e-5 }, jobContext()),
    await planTraining({ resume: statePath(run, 40), duration: 8e-5 }, jobContext()),
  ];
  await train({ resume: run, duration: 4.8e-5 });
  await expect(runTraining(late)).rejects.toThrow(
    /another process .* now training-state-000000048\.safetensors; start/,
  );
  expect(kimgs(run)).toHaveLength(6);
  expect(readdirSync(run).filter((name) => name.startsWith("abandoned"))).toEqual([]);
  // A state that the request names is what it asks for.
  expect(await runTraining(named)).toMatchObject({ reason: "finished", images: 80 });
});

/** A reporter by which a process is killed as soon as it shows something, once it has said something that `last` matches. */
const killedAfter = (last: RegExp): Reporter => {
  let isLast = false;
  return {
    ...silentReporter,
    print: (line) => {
      isLast ||= last.test(line);
    },
    update: () => {
      if (isLast) throw new Error("killed");
    },
  };
};

test("a run that was killed before its first state has the same seed when it starts again", async () => {
  const { seed: _, ...open } = { ...request, name: "young" };
  const killed = train(open, jobContext({ reporter: killedAfter(/^run folder/) }));
  await expect(killed).rejects.toThrow("killed");
  const run = join(folder, "young");
  expect(states(run)).toEqual([]);
  const { seed } = JSON.parse(readFileSync(join(run, "training_options.json"), "utf8")) as { seed: number };
  const seedOf = async (more: TrainRequest): Promise<number> => {
    const { options, state, bank } = await planTraining({ ...open, ...more }, jobContext());
    disposeState(state);
    bank.dispose();
    return options.seed;
  };
  expect(await seedOf({})).toBe(seed);
  expect(await seedOf({ seed: seed + 1 })).toBe(seed + 1);
  expect(await seedOf({ name: "another" })).not.toBe(seed);
  await train(open);
  expect(JSON.parse(readFileSync(join(run, "training_options.json"), "utf8"))).toMatchObject({ seed });
});

describe("divergence", () => {
  test("ends with the reason in the log, and with the state to go on from", async () => {
    await train({ ...request, name: "diverging" });
    const run = join(folder, "diverging");
    const diverging = train({ resume: run, lr: 1e30, duration: 8e-5, onDivergence: "stop" });
    await expect(diverging).rejects.toThrow(
      /diverged after \d+ images.*'resume=.*training-state-000000040.*'lr=0.001'/,
    );
    expect(readFileSync(join(run, "log.txt"), "utf8")).toMatch(/ended after \d+ images: training diverged/);
    const [state] = soundStates(run);
    await train({ resume: state, lr: 1e-3, duration: 8e-5 });
    expect(kimgs(run).at(-1)).toBe(0.08);
  });

  /** The factor on the learning rate in a run's latest state. */
  const rateOf = (run: string): number => {
    const { clock } = readSafetensorsMetadata(join(run, states(run).sort().at(-1) as string));
    return (JSON.parse(clock as string) as { stability: { rate: number } }).stability.rate;
  };

  test("the run goes back with half the learning rate, again and again, and comes to its end", async () => {
    await train({ ...request, name: "back" });
    const run = join(folder, "back");
    const { lines, reporter } = listener();
    const end = await train({ resume: run, lr: 8, duration: 1.2e-4 }, jobContext({ reporter }));
    expect(end).toMatchObject({ reason: "finished", images: 120 });
    const rates = lines.flatMap(
      (line) => /^rolled back to .*-000000040.* with (\S+) of the learning rate/.exec(line)?.[1] ?? [],
    );
    expect(rates).toEqual(["0.5", "0.25", "0.125"]);
    expect(rateOf(run)).toBe(0.125);
    // One history, a line per step; the others are set aside.
    expect(kimgs(run).map((kimg) => Math.round(1000 * kimg!))).toEqual(
      Array.from({ length: 15 }, (_, i) => 8 * (i + 1)),
    );
    expect(readdirSync(run).filter((name) => name.startsWith("abandoned-after-40"))).toHaveLength(3);
    // It keeps its rate when it is resumed, unless another is given.
    await train({ resume: run, duration: 1.28e-4 });
    expect(rateOf(run)).toBe(0.125);
    await train({ ...request, name: "back", lr: 8, duration: 1.36e-4 });
    expect(rateOf(run)).toBe(0.125);
    await train({ resume: run, duration: 1.44e-4, lr: 1e-3 });
    expect(rateOf(run)).toBe(1);
  });

  /** Continues a run at a rate that cannot work, and returns the numbers in the names of the states that it goes back to. */
  async function returnsOf(run: string, change: Partial<TrainRequest>, onBegin = (): void => {}) {
    const { lines, reporter } = listener();
    const print = (line: string): void => {
      reporter.print(line);
      if (line.startsWith("run folder")) onBegin();
    };
    const warn = reporter.print;
    const context = jobContext({ reporter: { ...reporter, print, warn } });
    await expect(train({ resume: run, lr: 1e30, duration: 8e-5, ...change }, context)).rejects.toThrow(/diverged/);
    return { lines, images: lines.flatMap((line) => /^rolled back to .*-0*(\d+)\./.exec(line)?.[1] ?? []) };
  }

  test("a state that has become unreadable is passed over on the way back", async () => {
    await train({ ...request, name: "unreadable" });
    const run = join(folder, "unreadable");
    const { lines, images } = await returnsOf(run, {}, () => truncateSync(statePath(run, 40), 1000));
    expect(images).toEqual(["32", "32", "32", "32"]);
    expect(lines.filter((line) => /training-state-000000040.*; going back further/.test(line)).length).toBeGreaterThan(
      0,
    );
  });

  test("the run goes back to the same state if it diverges again before anything shows that the state is sound", async () => {
    await train({ ...request, name: "again" });
    const { images } = await returnsOf(join(folder, "again"), { tick: 0.016, maxSkipped: 1 });
    expect(images).toEqual(["32", "32", "32", "32"]);
  });

  test("the latest state known to be sound stays, however many are saved while the loss is high", async () => {
    const run = mkdtempSync(join(folder, "high-"));
    await train({ ...request, name: "source" });
    const { config, options, restore } = loadState(statePath(join(folder, "source"), 40));
    const state = initialState(config, 0, "fp32");
    restore(state);
    const writer = runWriter(run, { network: config, options, about: {} });
    const facts = { temporary: true, loss: 1, lowestLoss: 1 };
    for (const [i, loss] of [1, 0.9, 50, 60, 70, 80, 0.8, 0.8, 0.8].entries()) {
      state.images = 1000 * (i + 1);
      const [kimg, mean] = [i + 1, loss].map((value) => ({ num: 1, mean: value, std: 0 }));
      writer.statistics({ "Progress/kimg": kimg!, "Loss/loss": mean!, timestamp: 0 });
      writer.state(state, facts);
      // What the state after 1000 images did next was normal, until the loss was as low as before it rose.
      if (i >= 2 && i < 6) expect(states(run)).toHaveLength(3);
      if (i >= 2 && i < 6) expect(existsSync(statePath(run, 1000))).toBe(true);
    }
    expect(states(run)).toHaveLength(2);
    disposeState(state);
  });

  test("the lower learning rate outlasts a process that is killed before its next save", async () => {
    await train({ ...request, name: "forgetful" });
    const run = join(folder, "forgetful");
    const context = jobContext({ reporter: killedAfter(/^rolled back/) });
    await expect(train({ resume: run, lr: 8, duration: 1.2e-4 }, context)).rejects.toThrow("killed");
    expect(rateOf(run)).toBe(0.5);
  });

  test("statistics are read once, from where the last reading ended, and again when they were replaced", () => {
    const run = mkdtempSync(join(folder, "growing-"));
    const path = join(run, "stats.jsonl");
    const line = (kimg: number, loss: number): string =>
      `${JSON.stringify({ "Progress/kimg": { num: 1, mean: kimg, std: 0 }, "Loss/loss": { num: 1, mean: loss, std: 0 } })}\n`;
    for (const images of [1000, 2000, 3000, 4000]) writeFileSync(statePath(run, images), "");
    const sound = new SoundStates(run);
    const lines = new NewLines(path);
    const latest = (): number | undefined => sound.paths().map((found) => imagesInPath(found))[0];
    const counts = (): number => lines.read().texts.length;
    expect([latest(), counts()]).toEqual([undefined, 0]);
    const [whole, torn] = [line(1, 2) + line(2, 1), line(3, 0.9)];
    appendFileSync(path, whole + torn.slice(0, 20));
    expect([latest(), counts()]).toEqual([1000, 2]);
    appendFileSync(path, torn.slice(20));
    expect([latest(), counts()]).toEqual([2000, 1]);
    appendFileSync(path, line(4, 99));
    expect([latest(), counts()]).toEqual([2000, 1]);
    appendFileSync(path, line(5, 0.8));
    expect([latest(), counts()]).toEqual([4000, 1]);
    expect(sound.paths()).toEqual(soundStates(run));
    // Going back to an earlier state leaves fewer lines, and those to come may be as many.
    setAsideAfter(run, 2000);
    appendFileSync(path, line(3, 50) + line(4, 60) + line(5, 70) + line(6, 80));
    expect([latest(), counts()]).toEqual([1000, 6]);
  });

  test("a loss that has fallen to less than a tenth is not one that has risen", () => {
    const run = mkdtempSync(join(folder, "fell-"));
    const lines = [1, 0.3, 0.05].map((loss, i) => ({
      "Progress/kimg": { num: 1, mean: i + 1, std: 0 },
      "Loss/loss": { num: 1, mean: loss, std: 0 },
    }));
    writeFileSync(join(run, "stats.jsonl"), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    for (const images of [1000, 2000, 3000]) writeFileSync(statePath(run, images), "");
    expect(soundStates(run)).toEqual([2000, 1000].map((images) => statePath(run, images)));
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
    expect(soundStates(run)).toEqual([2000, 1000].map((images) => statePath(run, images)));
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
