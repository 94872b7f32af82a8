/** Checkpoints made elsewhere: the network inside, weight for weight, or one line that says why not. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { FileFormatError, loadSafetensors, memory, saveSafetensors, scope, type Tensor, tensor } from "@stf/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { importNetwork } from "../src/checkpoints/foreign/import.js";
import { readCheckpoint } from "../src/checkpoints/foreign/read.js";
import { networkForTransfer, transferWeights } from "../src/checkpoints/foreign/transfer.js";
import { loadSnapshot, saveNetwork } from "../src/checkpoints/network-file.js";
import { InputError, UsageError } from "../src/common/errors.js";
import { buildDenoiser, type NetworkConfig } from "../src/networks/build.js";
import type { Constants } from "../src/preconditioning/constants.js";
import { differenceOf, type PreconditioningName, preconditioningOf } from "../src/preconditioning/table.js";
import { disposeState, initialState } from "../src/training/state.js";
import { normals, sameBits } from "./support.js";

const ddpmpp: NetworkConfig = {
  arch: "ddpmpp",
  precond: "edm",
  shape: { channels: 3, height: 16, width: 16 },
  modelChannels: 4,
  channelMult: [1, 2],
  numBlocks: 1,
  attnResolutions: [16],
  dropout: 0.13,
  labelDim: 0,
  augmentDim: 9,
};
const ncsnpp: NetworkConfig = {
  ...ddpmpp,
  arch: "ncsnpp",
  shape: { channels: 3, height: 8, width: 8 },
  channelMult: [1, 1],
  attnResolutions: [4],
  dropout: 0.05,
  augmentDim: 0,
};

/** What is known of the preconditioning of the fixtures; JSON has no number for EDM's sigmaMax. */
const constants = { sigmaData: 0.5, sigmaMin: 0 };

const AUGMENTATION = "model.map_augment.weight";
const fixtures = ["edm-snapshot.pkl", "stf-state.pkl", "edm-state.pt", "dict-zip.pth", "dict-legacy.pth"] as const;

let folder = "";
const file = (name: string): string => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "stf-import-"));
  for (const name of fixtures) {
    const packed = fileURLToPath(new URL(`./golden/${name}.gz`, import.meta.url));
    writeFileSync(file(name), gunzipSync(readFileSync(packed)));
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Element i of the tensor with the number n among the sorted names. */
const weight = (i: number, n: number): number => (((31 * i + 17 * n) % 64) - 32) / 256;

/** Expects the weights of golden/make_checkpoints.py; `unnumbered` names are counted although they are not there. */
function expectWeights(state: ReadonlyMap<string, Tensor>, shift: number, unnumbered: readonly string[] = []): void {
  const names = [...state.keys(), ...unnumbered].sort();
  for (const [name, value] of state) {
    const n = names.indexOf(name) + shift;
    const found = value.contiguous().toFloat64Array();
    const isFilter = name.endsWith("resample_filter");
    const wanted = found.map((tap, i) => (isFilter ? tap : weight(i, n)));
    expect(found, name).toEqual(wanted);
    if (isFilter) expect(found.reduce((sum, tap) => sum + tap, 0)).toBeCloseTo(1, 12);
  }
}

/** Why a file is refused: in one line that names it. */
function refusal(body: () => unknown, path: string): string {
  let caught: unknown;
  try {
    body();
  } catch (error) {
    caught = error;
  }
  const isExpected = [InputError, FileFormatError, UsageError].some((kind) => caught instanceof kind);
  expect(isExpected, String((caught as Error | undefined)?.stack)).toBe(true);
  const { message } = caught as Error;
  expect(message).not.toContain("\n");
  if (!(caught instanceof UsageError)) expect(message).toContain(path);
  return message;
}

/** A word in a pickle, with its length before it. */
const word = (text: string): string => `\x8c${String.fromCharCode(text.length)}${text}`;

describe("networks with their constructor's arguments", () => {
  test.each([
    { name: "edm-snapshot.pkl", which: "auto", part: "ema", shift: 0, config: ddpmpp, format: /^pickle$/ },
    { name: "stf-state.pkl", which: "auto", part: "ema", shift: 0, config: ncsnpp, format: /^pickle$/ },
    { name: "stf-state.pkl", which: "net", part: "net", shift: 5, config: ncsnpp, format: /^pickle$/ },
    { name: "edm-state.pt", which: "auto", part: "net", shift: 5, config: ncsnpp, format: /zip/ },
  ] as const)("$name, $which", ({ name, which, part, shift, config, format }) => {
    const before = memory().tensors;
    const imported = importNetwork(file(name), { which });
    expect(imported.config).toEqual({ ...config, constants });
    expect(imported.source.part).toBe(part);
    expect(imported.source.format).toMatch(format);
    expect(imported.denoiser.training).toBe(false);
    scope(() => expectWeights(imported.denoiser.stateDict(), shift));
    imported.denoiser.dispose();
    expect(memory().tensors).toBe(before);
  });

  test("what else is there is named, and not read", () => {
    const { denoiser, source } = importNetwork(file("edm-snapshot.pkl"));
    expect(source.skipped).toEqual(["loss_fn (EDMLoss)", "dataset_kwargs (dnnlib.util.EasyDict)"]);
    denoiser.dispose();
    const other = importNetwork(file("stf-state.pkl"));
    expect(other.source.skipped).toEqual(["optimizer_state (a dictionary of 2)", "step (1536)", "net (EDMPrecond)"]);
    other.denoiser.dispose();
  });

  test("a network that the file lacks", () => {
    expect(refusal(() => importNetwork(file("edm-state.pt"), { which: "ema" }), "")).toMatch(
      /'which=ema'.*which has net$/,
    );
  });

  test("arguments that contradict the tensors", () => {
    const content = readFileSync(file("edm-snapshot.pkl"));
    const at = content.indexOf("model_channels") + "model_channels".length;
    const value = content.indexOf("K\x04", at, "latin1") + 1;
    expect(value - at).toBeLessThan(8);
    content[value] = 8;
    writeFileSync(file("contradiction.pkl"), content);
    expect(refusal(() => importNetwork(file("contradiction.pkl")), file("contradiction.pkl"))).toMatch(
      /model_channels = 8, but its tensors have 4/,
    );
  });

  /** The snapshot with words in it changed; lengths are written before words. */
  function withWords(words: Readonly<Record<string, string>>): string {
    let text = readFileSync(file("edm-snapshot.pkl")).toString("latin1");
    for (const [from, to] of Object.entries(words)) {
      expect(text).toContain(word(from));
      text = text.replaceAll(word(from), word(to));
    }
    writeFileSync(file("other.pkl"), Buffer.from(text, "latin1"));
    return file("other.pkl");
  }

  // The file has the arguments dropout = 0.13 and num_blocks = 1, and the attributes sigma_data = 0.5 and sigma_max = inf.
  const cases: [string, PreconditioningName, Readonly<Record<string, string>>, Constants][] = [
    ["EDMPrecond", "edm", {}, constants],
    ["EDMPrecond", "edm", { dropout: "sigma_data" }, { sigmaData: 0.13, sigmaMin: 0 }],
    [
      "EDMPrecond",
      "edm",
      { dropout: "sigma_min", num_blocks: "sigma_max" },
      { ...constants, sigmaMin: 0.13, sigmaMax: 1 },
    ],
    ["VPPrecond", "vp", {}, { betaMin: 0.1, betaMax: 20, timeSteps: 1000, epsilon: 1e-5 }],
    [
      "VPPrecond",
      "vp",
      { dropout: "beta_min" },
      { betaMin: 0.13, betaMax: 0.13 + 19.9, timeSteps: 1000, epsilon: 1e-5 },
    ],
    ["VPPrecond", "vp", { num_blocks: "beta_d" }, { betaMin: 0.1, betaMax: 1.1, timeSteps: 1000, epsilon: 1e-5 }],
    ["VPPrecond", "vp", { augment_dim: "M" }, { betaMin: 0.1, betaMax: 20, timeSteps: 9, epsilon: 1e-5 }],
    ["VPPrecond", "vp", { dropout: "epsilon_t" }, { betaMin: 0.1, betaMax: 20, timeSteps: 1000, epsilon: 0.13 }],
    ["VEPrecond", "ve", { sigma_max: "kept" }, { sigmaMin: 0.02, sigmaMax: 100 }],
    ["VEPrecond", "ve", { sigma_max: "kept", dropout: "sigma_min" }, { sigmaMin: 0.13, sigmaMax: 100 }],
    ["VEPrecond", "ve", { num_blocks: "sigma_max" }, { sigmaMin: 0.02, sigmaMax: 1 }],
  ];

  test.each(cases)("the wrapper %s, %s, %o", (className, precond, words, wanted) => {
    const path = withWords({ EDMPrecond: className, ...words });
    const { denoiser, config } = importNetwork(path);
    const dropout = "dropout" in words ? 0.1 : ddpmpp.dropout;
    expect(config).toEqual({ ...ddpmpp, dropout, precond, constants: wanted });
    expect(differenceOf(denoiser.preconditioning, preconditioningOf(precond, wanted))).toBeUndefined();
    saveNetwork(file("imported.safetensors"), denoiser, config, {});
    denoiser.dispose();
    const loaded = loadSnapshot(file("imported.safetensors"));
    expect(differenceOf(loaded.denoiser.preconditioning, preconditioningOf(precond, wanted))).toBeUndefined();
    loaded.denoiser.dispose();
    // Another preconditioning that is asked for has its own constants.
    const asFlow = importNetwork(path, { precond: "flow" });
    expect(asFlow.config.constants).toEqual(preconditioningOf("flow").constants);
    asFlow.denoiser.dispose();
  });

  test("what the constructor kept counts where it was given nothing", () => {
    const content = readFileSync(file("edm-snapshot.pkl"));
    const at = content.indexOf("sigma_data") + "sigma_data".length;
    const value = content.indexOf("G?\xe0\0\0\0\0\0\0", at, "latin1") + 1;
    expect(value - at).toBeLessThan(8);
    content.writeDoubleBE(0.75, value);
    writeFileSync(file("other.pkl"), content);
    const { denoiser, config } = importNetwork(file("other.pkl"));
    expect(config.constants).toEqual({ ...constants, sigmaData: 0.75 });
    denoiser.dispose();
  });

  /** The file with other numbers in the loss function beside the network, -1.2 and 1.2. */
  function withLoss(pMean: number, pStd: number, className = "EDMLoss"): string {
    const text = readFileSync(file("edm-snapshot.pkl")).toString("latin1").replace(word("EDMLoss"), word(className));
    const content = Buffer.from(text, "latin1");
    for (const [name, old, value] of [
      ["P_mean", -1.2, pMean],
      ["P_std", 1.2, pStd],
    ] as const) {
      const bytes = Buffer.alloc(9, "G");
      bytes.writeDoubleBE(old, 1);
      const at = content.indexOf(bytes, content.indexOf(name));
      expect(at).toBeGreaterThan(0);
      content.writeDoubleBE(value, at + 1);
    }
    writeFileSync(file("loss.pkl"), content);
    return file("loss.pkl");
  }

  test("the noise levels of the loss beside it are kept, where they can be", () => {
    const importedConstants = (path: string): Constants | undefined => {
      const { denoiser, config } = importNetwork(path);
      expect(differenceOf(denoiser.preconditioning, preconditioningOf("edm", config.constants))).toBeUndefined();
      denoiser.dispose();
      return config.constants;
    };
    expect(importedConstants(withLoss(-0.4, 1))).toEqual({ ...constants, pMean: -0.4, pStd: 1 });
    expect(networkForTransfer(withLoss(-0.4, 1.2), "edm").constants).toEqual({ ...constants, pMean: -0.4 });
    // They do not matter to a network with other levels.
    const network = buildDenoiser({ ...ddpmpp, constants: { pStd: 2, sigmaMin: 0.1, sigmaMax: 9 } });
    expect(transferWeights(withLoss(-0.4, 1), [network]).missing).toEqual([]);
    network.dispose();
    // What cannot be trained on can be drawn with.
    for (const path of [withLoss(-1.2, 0), withLoss(Number.NaN, 1), withLoss(0, 1e9), withLoss(-0.4, 1, "MyLoss!")]) {
      expect(importedConstants(path)).toEqual(constants);
    }
  });

  test.each<[Readonly<Record<string, string>>, RegExp]>([
    [{ use_fp16: "sigma_data" }, /its sigma_data must be a number, found false/],
    [{ attn_resolutions: "sigma_data" }, /its sigma_data must be a number, found another object/],
    [{ label_dim: "sigma_data" }, /its EDMPrecond.*sigmaData must be .* above 0, found 0/],
    [{ EDMPrecond: "VEPrecond" }, /its VEPrecond.*sigmaMax must be a finite number above 0, found Infinity/],
    [{ EDMPrecond: "VPPrecond", dropout: "M" }, /its VPPrecond.*timeSteps must be a whole number .*, found 0\.13/],
  ])("constants that make no sense, %o", (words, says) => {
    const path = withWords(words);
    expect(refusal(() => importNetwork(path), path)).toMatch(says);
    const network = buildDenoiser(ddpmpp);
    expect(refusal(() => transferWeights(path, [network]), path)).toMatch(says);
    expect(refusal(() => networkForTransfer(path, "edm"), path)).toMatch(says);
    network.dispose();
  });
});

describe("dictionaries of tensors", () => {
  test.each(["dict-zip.pth", "dict-legacy.pth"])("%s: the architecture from names and shapes", (name) => {
    const { denoiser, config, source } = importNetwork(file(name), { precond: "edm" });
    // Nothing in such a file tells the dropout.
    expect(config).toEqual({ ...ddpmpp, constants, dropout: 0 });
    expect(source).toMatchObject({ part: undefined, skipped: [] });
    scope(() => expectWeights(denoiser.stateDict(), 0));
    denoiser.dispose();
  });

  test("the steps of an improved DDPM are those between the noise levels that it stores", () => {
    const own = buildDenoiser({ ...ddpmpp, precond: "iddpm", constants: { timeSteps: 20 } });
    const path = file("iddpm.safetensors");
    saveSafetensors(path, own.stateDict());
    // It is the only one with twice the channels.
    const { denoiser, config } = importNetwork(path);
    expect(config).toMatchObject({ precond: "iddpm", constants: { timeSteps: 20, c1: 0.001, c2: 0.008 } });
    expect(denoiser.preconditioning.levels).toEqual(own.preconditioning.levels);
    for (const network of [own, denoiser]) network.dispose();
  });

  test("the preconditioning has to be said", () => {
    expect(refusal(() => importNetwork(file("dict-zip.pth")), "")).toMatch(/'precond'.*edm/);
  });

  /** A safetensors file with the tensors of dict-zip.pth, changed. */
  function changed(change: (tensors: Map<string, Tensor>) => Map<string, Tensor> | undefined): string {
    const path = file("changed.safetensors");
    scope(() => {
      const { tensors } = readCheckpoint(file("dict-zip.pth"));
      saveSafetensors(path, change(tensors) ?? tensors);
    });
    return path;
  }
  const importing = (path: string): string => refusal(() => importNetwork(path, { precond: "edm" }), path);

  test("safetensors, with the prefixes of parallel training, and without that of the wrapper", () => {
    const wanted = importNetwork(file("dict-zip.pth"), { precond: "edm" });
    const renamings = [
      (name: string) => name,
      (name: string) => `module.${name}`,
      (name: string) => name.replace(/^model\./, ""),
      (name: string) => name.replace(/^model\./, "module."),
    ];
    for (const rename of renamings) {
      const path = changed((tensors) => new Map([...tensors].map(([name, value]) => [rename(name), value])));
      const { denoiser, config } = importNetwork(path, { precond: "edm" });
      expect(config).toEqual(wanted.config);
      const weights = wanted.denoiser.stateDict();
      for (const [name, value] of denoiser.stateDict()) expect(sameBits(value, weights.get(name)!), name).toBe(true);
      denoiser.dispose();
    }
    wanted.denoiser.dispose();
  });

  test("half precision becomes float32", () => {
    const path = changed((tensors) => {
      return new Map([...tensors].map(([name, value]) => [name, value.to({ dtype: "bfloat16" })]));
    });
    const { denoiser } = importNetwork(path, { precond: "edm" });
    // Multiples of 1/256 below 1/8 have few digits enough.
    expectWeights(denoiser.stateDict(), 0);
    denoiser.dispose();
  });

  test("refused: integers as weights", () => {
    const path = changed((tensors) => {
      tensors.set("model.map_layer0.weight", tensors.get("model.map_layer0.weight")!.to({ dtype: "int64" }));
      return undefined;
    });
    expect(importing(path)).toMatch(/"model\.map_layer0\.weight" must hold floating-point numbers, found int64/);
  });

  test.each<[string, (tensors: Map<string, Tensor>) => void, RegExp]>([
    ["no stem", (t) => t.delete("model.enc.16x16_conv.weight"), /not those of a known network.*NxN_conv/],
    ["no end of the embedding", (t) => t.delete("model.map_layer0.weight"), /no "model\.map_layer0\.weight"/],
    ["a missing bias", (t) => t.delete("model.map_layer1.bias"), /missing: model\.map_layer1\.bias/],
    ["a stranger", (t) => t.set("model.zz", tensor([1])), /unknown: model\.zz/],
    [
      "a block of another width",
      (t) => t.set("model.dec.8x8_block0.conv1.weight", tensor([1]).expand([4, 4, 3, 3]).contiguous()),
      /"model\.dec\.8x8_block0\.conv1\.weight" is \[4, 4, 3, 3\]/,
    ],
    [
      "another filter",
      (t) => t.get("model.enc.8x8_down.conv0.resample_filter")!.mul_(2),
      /resample_filter" has other values/,
    ],
    ["Fourier features", (t) => t.set("model.map_noise.freqs", tensor([1, 2])), /none of .*fourier embedding/],
    [
      "the names of another network",
      (t) => {
        t.clear();
        t.set("module.all_modules.0.W", tensor([1]));
      },
      /all_modules\.0\.W, \.\.\.\) are not those of a known network/,
    ],
  ])("refused: %s", (_, change, message) => {
    const path = changed((tensors) => {
      change(tensors);
      return undefined;
    });
    expect(importing(path)).toMatch(message);
  });

  test("an architecture that is asked for has to fit", () => {
    const path = file("dict-zip.pth");
    expect(refusal(() => importNetwork(path, { precond: "edm", arch: "ncsnpp" }), path)).toMatch(
      /do not fit.*missing: .*freqs/,
    );
  });
});

test("what is imported is a snapshot that computes the same, and needs no second import", () => {
  const { denoiser, config } = importNetwork(file("edm-snapshot.pkl"));
  saveNetwork(file("imported.safetensors"), denoiser, config, { imported: "edm-snapshot.pkl" });
  const loaded = loadSnapshot(file("imported.safetensors"));
  expect(loaded.config).toEqual(config);
  expect(config.constants).toEqual(constants);
  scope(() => {
    const weights = denoiser.stateDict();
    for (const [name, value] of loaded.denoiser.stateDict()) {
      expect(sameBits(value.contiguous(), weights.get(name)!), name).toBe(true);
    }
    const output = loaded.denoiser.forward(normals([1, 3, 16, 16], 1, "float32"), Float64Array.of(2));
    expect(output.toFloat64Array().every(Number.isFinite)).toBe(true);
  });
  for (const network of [denoiser, loaded.denoiser]) network.dispose();
  const path = file("imported.safetensors");
  expect(refusal(() => importNetwork(path), path)).toMatch(/is a network snapshot already.*stf generate/);
});

describe("transfer", () => {
  test("starts the network and its average; what is missing keeps its values", () => {
    const state = initialState({ ...ncsnpp, labelDim: 3 }, 1, "fp32");
    const drawn = state.network.stateDict().get("model.map_label.weight")!.toFloat64Array();
    const before = memory().tensors;
    const { copied, missing, unused } = transferWeights(file("stf-state.pkl"), [state.network, state.averaged]);
    expect(memory().tensors).toBe(before);
    expect(missing).toEqual(["model.map_label.weight", "model.map_label.bias"]);
    expect(unused).toEqual([]);
    for (const network of [state.network, state.averaged]) {
      const weights = network.stateDict();
      expect(weights.get("model.map_label.weight")!.toFloat64Array()).toEqual(drawn);
      expectWeights(new Map(copied.map((name) => [name, weights.get(name)!])), 0);
    }
    // The flat storage is what the optimizer and the average work on.
    for (const flat of [state.parameters.values, state.ema.average.values]) {
      const views = [...state.parameters.viewsOf(flat)].filter(([name]) => copied.includes(name));
      const buffers = copied.filter((name) => !views.some(([view]) => view === name));
      expect(views.length).toBeGreaterThan(100);
      scope(() => expectWeights(new Map(views), 0, buffers));
    }
    disposeState(state);
  });

  test("names that only the file has are said", () => {
    const network = buildDenoiser({ ...ddpmpp, augmentDim: 0 });
    const { missing, unused } = transferWeights(file("edm-snapshot.pkl"), [network]);
    expect([missing, unused]).toEqual([[], [AUGMENTATION]]);
    network.dispose();
  });

  test("a network of another preconditioning is refused, whoever wrote the file", () => {
    const network = buildDenoiser({ ...ddpmpp, precond: "flow" });
    const own = buildDenoiser({ ...ddpmpp, precond: "vp" });
    const snapshot = join(folder, "vp.safetensors");
    saveNetwork(snapshot, own, { ...ddpmpp, precond: "vp" }, {});
    for (const path of [file("edm-snapshot.pkl"), snapshot]) {
      const before = network.stateDict().get("model.map_layer0.weight")!.toFloat64Array();
      expect(refusal(() => transferWeights(path, [network]), path)).toMatch(/'precond' (edm|vp), found flow/);
      expect(network.stateDict().get("model.map_layer0.weight")!.toFloat64Array()).toEqual(before);
    }
    network.dispose();
    own.dispose();
  });

  test("a network with other constants is refused; the file says which it needs", () => {
    const wide = { ...ddpmpp, constants: { sigmaData: 1 } };
    const own = buildDenoiser(wide);
    const path = file("wide.safetensors");
    saveNetwork(path, own, wide, {});
    const network = buildDenoiser(ddpmpp);
    expect(refusal(() => transferWeights(path, [network]), path)).toMatch(
      /its network was trained with 'precond' edm with sigmaData = 1, found edm with sigmaData = 0\.5/,
    );
    expect(networkForTransfer(path, "vp").precond).toBe("edm");
    const suited = buildDenoiser({ ...ddpmpp, constants: networkForTransfer(path, "edm").constants! });
    expect(transferWeights(path, [suited]).missing).toEqual([]);
    expect(networkForTransfer(file("edm-snapshot.pkl"), "edm").constants).toEqual(constants);
    expect(networkForTransfer(file("dict-zip.pth"), "edm")).toEqual({ ...ddpmpp, constants, dropout: 0 });
    // Tensors alone say nothing of the data's scale, so that a caller may.
    const { constants: assumed } = networkForTransfer(file("dict-zip.pth"), "edm", { sigmaData: 0.25 });
    expect(assumed).toEqual({ ...constants, sigmaData: 0.25 });
    expect(networkForTransfer(file("edm-snapshot.pkl"), "edm", { sigmaData: 0.25 }).constants).toEqual(constants);
    const scaled = buildDenoiser({ ...ddpmpp, constants: assumed! });
    expect(transferWeights(file("dict-zip.pth"), [scaled]).missing).toEqual([]);
    scaled.dispose();
    for (const each of [own, network, suited]) each.dispose();
  });

  test("a network of another size is refused, and nothing is copied", () => {
    const network = buildDenoiser({ ...ddpmpp, modelChannels: 8 });
    const before = network.stateDict().get("model.map_layer0.weight")!.toFloat64Array();
    const path = file("edm-snapshot.pkl");
    expect(refusal(() => transferWeights(path, [network]), path)).toMatch(/of another shape: /);
    expect(network.stateDict().get("model.map_layer0.weight")!.toFloat64Array()).toEqual(before);
    network.dispose();
  });
});

describe("files that hold no network", () => {
  test.each(fixtures)("%s cut anywhere", (name) => {
    const whole = readFileSync(file(name));
    const path = file("cut.bin");
    const step = Math.ceil(whole.length / 60);
    for (let at = 1; at < whole.length; at += step) {
      writeFileSync(path, whole.subarray(0, at));
      refusal(() => readCheckpoint(path), path);
    }
  });

  const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");
  /** A module in protocol 2: what its dictionaries of parameters and of modules hold. */
  const modulePickle = (parameters: string, modules: string): string =>
    `cm\nNet\n)\x81q\x01}(X\x0b\0\0\0_parameters}${parameters}X\x08\0\0\0_modules}${modules}ub`;

  test.each<[string, Buffer, RegExp]>([
    ["a number", latin1("\x80\x02K\x01."), /must hold a network, found 1/],
    ["an unknown call", latin1("\x80\x02cevil\nlaunch\nK\x01\x85R."), /must hold a network, found evil\.launch/],
    [
      "a command",
      latin1("\x80\x02}X\x03\0\0\0emacposix\nsystem\nX\x02\0\0\0id\x85Rs."),
      /posix\.system.*nothing was run/,
    ],
    [
      "other entries",
      latin1("\x80\x02}(X\x01\0\0\0aK\x01X\x01\0\0\0bK\x02u."),
      /must hold a network, found a \(1\), b \(2\)/,
    ],
    ["a list that holds itself", latin1("\x80\x02]q\x00h\x00a."), /must hold a network, found a list of 1/],
    ["a module that holds itself", latin1(`\x80\x02${modulePickle("", "X\x01\0\0\0mh\x01s")}.`), /without end/],
    ["a part that is none", latin1(`\x80\x02${modulePickle("", "X\x01\0\0\0mK\x01s")}.`), /part "m\." is not a module/],
    [
      "a parameter that is none",
      latin1(`\x80\x02${modulePickle("X\x01\0\0\0wK\x01s", "")}.`),
      /"w" is not a supported tensor/,
    ],
    ["a part without a name", latin1(`\x80\x02${modulePickle("K\x01K\x01s", "")}.`), /without a proper name/],
    ["a name with a line in it", latin1("\x80\x02}X\x03\0\0\0a\nbK\x01s."), /must hold a network, found a\?b \(1\)/],
    ["lists without end", latin1(`\x80\x02${"]".repeat(100_000)}${"a".repeat(99_999)}.`), /a list of 1/],
  ])("%s", (_, content, message) => {
    const path = file("hostile.pkl");
    writeFileSync(path, content);
    expect(refusal(() => importNetwork(path, { precond: "edm" }), path)).toMatch(message);
  });

  test("modules shared so often that walking them all would take forever", () => {
    // Each module holds the one before it twice: 2^60 paths to the innermost.
    const inner = modulePickle("", "");
    let content = inner.replace("q\x01", "q\x00");
    for (let i = 1; i < 60; i++) {
      const parts = `(X\x01\0\0\0ah${String.fromCharCode(i - 1)}X\x01\0\0\0bh${String.fromCharCode(i - 1)}u`;
      content += `0${modulePickle("", parts).replace("q\x01", `q${String.fromCharCode(i)}`)}`;
    }
    const path = file("shared.pkl");
    writeFileSync(path, latin1(`\x80\x02${content}.`));
    expect(refusal(() => importNetwork(path), path)).toMatch(/without end/);
  });

  test("a folder, a missing file, and an archive of something else", () => {
    expect(refusal(() => importNetwork(folder), folder)).toMatch(/is not a file/);
    expect(refusal(() => importNetwork(file("nowhere.pkl")), file("nowhere.pkl"))).toMatch(/there is no file/);
    const text = readFileSync(file("edm-state.pt")).toString("latin1").replaceAll("data.pkl", "data.txt");
    writeFileSync(file("archive.zip"), latin1(text));
    expect(refusal(() => importNetwork(file("archive.zip")), file("archive.zip"))).toMatch(
      /a zip archive without a PyTorch network/,
    );
  });

  test("a training state of this program", () => {
    saveSafetensors(file("state.safetensors"), new Map(), { format: "stf-training-state-1" });
    expect(refusal(() => readCheckpoint(file("state.safetensors")), "state.safetensors")).toMatch(/'resume'/);
  });
});

test("the source text in the published form is carried, not run", () => {
  const content = readFileSync(file("edm-snapshot.pkl")).toString("latin1");
  expect(content).toContain("raise SystemExit");
  const { tensors } = loadSafetensors(fileURLToPath(new URL("./golden/edm-ddpmpp.safetensors", import.meta.url)));
  const found = readCheckpoint(file("edm-snapshot.pkl"));
  const names = [...tensors.keys()].filter((name) => name.startsWith("model."));
  expect([...found.tensors.keys()].sort()).toEqual(names.sort());
  for (const value of [...tensors.values(), ...found.tensors.values()]) value.dispose();
});
