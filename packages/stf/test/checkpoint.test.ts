/** Checkpoints: what is written comes back, and what cannot be read says so in one line. */

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  FileFormatError,
  loadSafetensors,
  memory,
  noGrad,
  readSafetensorsMetadata,
  saveSafetensors,
  scope,
  type Tensor,
} from "@stf/torch";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { loadSnapshot, type Snapshot, saveNetwork, saveSnapshot } from "../src/checkpoints/network-file.js";
import { loadState, saveState } from "../src/checkpoints/state-file.js";
import { InputError } from "../src/common/errors.js";
import { buildDenoiser, type NetworkConfig } from "../src/networks/build.js";
import type { Denoiser } from "../src/networks/denoiser.js";
import type { Constants } from "../src/preconditioning/constants.js";
import {
  differenceOf,
  type PreconditioningName,
  preconditioningNames,
  preconditioningOf,
} from "../src/preconditioning/table.js";
import { disposeState, initialState, type TrainingState } from "../src/training/state.js";
import { normals, relativeDeviation, sameBits } from "./support.js";

const config: NetworkConfig = {
  arch: "ncsnpp",
  precond: "edm",
  shape: { channels: 1, height: 8, width: 8 },
  modelChannels: 8,
  channelMult: [1, 2],
  numBlocks: 1,
  attnResolutions: [4],
  dropout: 0.1,
};

/** As the file says it; JSON has no number for EDM's sigmaMax. */
const stored = { ...config, constants: { sigmaData: 0.5, sigmaMin: 0 } };

let folder = "";
let state: TrainingState;
let snapshot = "";
let saved = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "stf-checkpoint-"));
  snapshot = join(folder, "snapshot.safetensors");
  saved = join(folder, "state.safetensors");
  state = initialState(config, 3, "fp32");
  // Weights, averages and moments that all differ.
  noGrad(() =>
    scope(() => {
      const parts = [
        state.parameters.values,
        state.ema.average.values,
        state.optimizer.expAvg,
        state.optimizer.expAvgSq,
      ];
      for (const [i, part] of parts.entries()) {
        for (const [, view] of state.parameters.viewsOf(part)) view.copy_(normals(view.shape, i, "float32").mul(0.2));
      }
    }),
  );
  state.images = 12_345;
  state.optimizer.stepCount = 678;
  saveSnapshot(snapshot, state, config, { data: "blobs", seed: 3 });
  saveState(saved, state, config, { batch: 16, lr: 1e-3, rbatch: "all" });
});
afterAll(() => {
  disposeState(state);
  rmSync(folder, { recursive: true, force: true });
});

/** The failure of `body`: one line that names the file. */
function failure(body: () => unknown, path: string): string {
  let caught: unknown;
  try {
    body();
  } catch (error) {
    caught = error;
  }
  expect(caught instanceof InputError || caught instanceof FileFormatError, String(caught)).toBe(true);
  const { message } = caught as Error;
  expect(message).toContain(path);
  expect(message).not.toContain("\n");
  return message;
}

describe("a snapshot", () => {
  test("is the averaged network, ready for evaluation", () => {
    const before = memory().tensors;
    const loaded = loadSnapshot(snapshot);
    expect(loaded.config).toEqual(stored);
    expect(loaded.denoiser.training).toBe(false);
    expect(loaded.denoiser.parameters().some((parameter) => parameter.requiresGrad)).toBe(false);
    scope(() => {
      const x = normals([2, 1, 8, 8], 9, "float32");
      const sigma = Float64Array.of(0.1, 3);
      const output = loaded.denoiser.forward(x, sigma);
      // The weights lie in another order in memory, for which libtorch sums in another order.
      expect(relativeDeviation(output, state.averaged.forward(x, sigma))).toBeLessThan(3e-6);
      const weights = state.averaged.stateDict();
      for (const [name, value] of loaded.denoiser.stateDict()) {
        expect(sameBits(value, weights.get(name)!.contiguous()), name).toBe(true);
      }
      expect(output.requiresGrad).toBe(false);
    });
    loaded.denoiser.dispose();
    expect(memory().tensors).toBe(before);
  });

  test("has the published names, and says what it is", () => {
    const { tensors, metadata } = loadSafetensors(snapshot);
    expect([...tensors.keys()].sort()).toEqual([...state.averaged.stateDict().keys()].sort());
    expect(tensors.has("model.map_noise.freqs")).toBe(true);
    expect(JSON.parse(metadata["network"]!)).toEqual(stored);
    expect(JSON.parse(metadata["training"]!)).toEqual({ images: 12_345, data: "blobs", seed: 3 });
    for (const tensor of tensors.values()) tensor.dispose();
  });

  test("can be loaded for bfloat16", () => {
    const { denoiser } = loadSnapshot(snapshot, { precision: "bf16" });
    expect(denoiser.precision).toBe("bf16");
    denoiser.dispose();
  });
});

describe("a state", () => {
  test("brings back weights, averages, moments, buffers and the clock", () => {
    const fresh = initialState(config, 99, "fp32");
    const before = memory().tensors;
    const loaded = loadState(saved);
    expect(loaded.config).toEqual(stored);
    expect(loaded.options).toEqual({ batch: 16, lr: 1e-3, rbatch: "all" });
    loaded.restore(fresh);
    expect(memory().tensors).toBe(before);
    expect(fresh.images).toBe(12_345);
    expect(fresh.optimizer.stepCount).toBe(678);
    const parts = (s: TrainingState): Tensor[] => [
      s.parameters.values,
      s.ema.average.values,
      s.optimizer.expAvg,
      s.optimizer.expAvgSq,
      ...Array.from(s.network.namedBuffers(), ([, buffer]) => buffer),
      ...Array.from(s.averaged.namedBuffers(), ([, buffer]) => buffer),
    ];
    const wanted = parts(state);
    parts(fresh).forEach((part, i) => void expect(sameBits(part, wanted[i]!), `part ${i}`).toBe(true));
    disposeState(fresh);
  });

  test("written again is the same file", () => {
    const fresh = initialState(config, 98, "fp32");
    loadState(saved).restore(fresh);
    const again = join(folder, "again.safetensors");
    saveState(again, fresh, config, { batch: 16, lr: 1e-3, rbatch: "all" });
    expect(readFileSync(again).equals(readFileSync(saved))).toBe(true);
    disposeState(fresh);
  });
});

/** A network in a file and back. */
function throughSnapshot(network: Denoiser, of: NetworkConfig): Snapshot {
  const path = join(folder, "through.safetensors");
  saveNetwork(path, network, of, {});
  return loadSnapshot(path);
}

describe("the preconditioning", () => {
  const constants: Readonly<Record<PreconditioningName, Constants>> = {
    edm: { sigmaData: 1, sigmaMin: 0.01, sigmaMax: 40, pMean: -0.4, pStd: 1 },
    vp: { betaMin: 0.3, betaMax: 9, timeSteps: 500, epsilon: 1e-3 },
    ve: { sigmaMin: 0.01, sigmaMax: 50 },
    subvp: { betaMin: 0.2, betaMax: 12, timeSteps: 200, epsilon: 1e-4 },
    flow: { timeSteps: 100, epsilon: 1e-3 },
    iddpm: { timeSteps: 40, c1: 0.01, c2: 0.02 },
  };

  test.each(preconditioningNames)("%s comes back with its constants, from snapshots and states", (precond) => {
    const of = { ...config, precond };
    const own = preconditioningOf(precond, constants[precond]);
    // Once from the configuration, once from an object that the configuration leaves open.
    for (const [from, preconditioning] of [
      [{ ...of, constants: constants[precond] }, undefined],
      [of, own],
    ] as const) {
      const trained = initialState(from, 1, "fp32", "cpu", preconditioning && { preconditioning });
      const { denoiser, config: found } = throughSnapshot(trained.network, from);
      expect(found).toEqual({ ...of, constants: constants[precond] });
      const path = join(folder, "constants.safetensors");
      saveState(path, trained, from, {});
      const loaded = loadState(path);
      expect(loaded.config).toEqual(found);
      const resumed = initialState(loaded.config, 2, "fp32");
      loaded.restore(resumed);
      scope(() => {
        const x = normals([2, 1, 8, 8], 9, "float32");
        const sigma = Float64Array.of(0.1, 3);
        for (const network of [denoiser, resumed.network.eval()]) {
          expect(differenceOf(network.preconditioning, own)).toBeUndefined();
          for (const level of sigma) {
            expect(network.preconditioning.coefficients(level)).toEqual(own.coefficients(level));
          }
          const output = trained.network.eval().forward(x, sigma);
          expect(relativeDeviation(network.forward(x, sigma), output)).toBeLessThan(3e-6);
        }
      });
      denoiser.dispose();
      for (const each of [trained, resumed]) disposeState(each);
    }
  });

  // As written before there were constants.
  const recorded =
    '{"arch":"ncsnpp","precond":"PRECOND","shape":{"channels":1,"height":8,"width":8},"modelChannels":8,"channelMult":[1,2],' +
    '"numBlocks":1,"attnResolutions":[4],"dropout":0.1,"labelDim":0,"augmentDim":0}';

  test.each(preconditioningNames)("%s of an older file has the published constants", (precond) => {
    const network = recorded.replace("PRECOND", precond);
    const old = buildDenoiser({ ...config, precond });
    const path = join(folder, "old.safetensors");
    saveSafetensors(path, old.stateDict(), { format: "stf-network-1", network, training: "{}" });
    const { denoiser, config: found } = loadSnapshot(path);
    expect(found).toEqual(JSON.parse(network));
    expect(differenceOf(denoiser.preconditioning, preconditioningOf(precond))).toBeUndefined();
    // Written again, it says so.
    const again = throughSnapshot(denoiser, found);
    expect(preconditioningOf(precond, again.config.constants).constants).toEqual(preconditioningOf(precond).constants);
    for (const each of [old, denoiser, again.denoiser]) each.dispose();
    const states = changed(saved, "old-state.safetensors", (_, metadata) => {
      metadata["network"] = recorded.replace("PRECOND", "edm");
    });
    const fresh = initialState(config, 96, "fp32");
    loadState(states).restore(fresh);
    expect(fresh.images).toBe(12_345);
    disposeState(fresh);
  });

  test("must be the one that the configuration names", () => {
    const wide = buildDenoiser(config, { preconditioning: preconditioningOf("edm", { sigmaData: 1 }) });
    const path = join(folder, "wrong.safetensors");
    const claims: [Partial<NetworkConfig>, RegExp][] = [
      [{ precond: "ve" }, /must name the network's preconditioning, edm; found ve/],
      [{ constants: { sigmaData: 0.5 } }, /edm with sigmaData = 1; found edm with sigmaData = 0\.5/],
      [{ constants: { sigmaData: 1, width: 3 } }, /width = 3/],
    ];
    for (const [claim, says] of claims) {
      expect(() => saveNetwork(path, wide, { ...config, ...claim }, {})).toThrow(says);
    }
    expect(existsSync(path)).toBe(false);
    wide.dispose();
  });

  test("of a state must be that of the network it is restored to", () => {
    const loaded = loadState(saved);
    const other = initialState({ ...config, constants: { sigmaData: 1 } }, 95, "fp32");
    const before = other.parameters.values.toFloat64Array();
    expect(() => loaded.restore(other)).toThrow(/must have .*edm with sigmaData = 0\.5, found edm with sigmaData = 1/);
    expect(other.parameters.values.toFloat64Array()).toEqual(before);
    disposeState(other);
  });

  test.each([
    ['{"sigma_data":1}', /constants of the preconditioning edm are sigmaData, .*found "sigma_data"/],
    ['{"sigmaData":"1"}', /sigmaData.*must be a number, found "1"/],
    ['{"sigmaData":null}', /sigmaData.*must be a number, found null/],
    ['{"sigmaData":-1}', /sigmaData must be .* above 0, found -1/],
    ['{"pStd":1e9}', /noise levels in training must lie between 1e-15 and 1e15, found 0 to Infinity/],
    ['{"pMean":null}', /pMean.*must be a number, found null/],
    ["[0.5]", /found "0"/],
    ["7", /constants.*found 7/],
    ["null", /constants.*found null/],
  ])("has damaged constants, %s", (text, says) => {
    const network = JSON.stringify(config).replace(/}$/, `,"constants":${text}}`);
    const damage = (_: unknown, metadata: Record<string, string>): void => void Object.assign(metadata, { network });
    const inSnapshot = changed(snapshot, "damaged.safetensors", damage);
    expect(failure(() => loadSnapshot(inSnapshot), inSnapshot)).toMatch(says);
    const inState = changed(saved, "damaged.safetensors", damage);
    expect(failure(() => loadState(inState), inState)).toMatch(says);
  });
});

/** A copy of a file with some of it changed. */
function changed(
  source: string,
  name: string,
  change: (tensors: Map<string, Tensor>, metadata: Record<string, string>) => void,
): string {
  const path = join(folder, name);
  scope(() => {
    const { tensors, metadata } = loadSafetensors(source);
    const copy = { ...metadata };
    change(tensors, copy);
    saveSafetensors(path, tensors, copy);
  });
  return path;
}

describe("files that cannot be used", () => {
  const readers = [
    { what: "network snapshot", read: loadSnapshot },
    { what: "training state", read: loadState },
  ];

  test.each(readers)("a missing $what", ({ what, read }) => {
    const path = join(folder, "nowhere.safetensors");
    expect(failure(() => read(path), path)).toContain(what);
  });

  test.each(readers)("a foreign file as $what", ({ read }) => {
    const path = fileURLToPath(new URL("./golden/stf-targets.safetensors", import.meta.url));
    expect(failure(() => read(path), path)).toMatch(
      /comes from another program, it is a safetensors file; .*stf import/,
    );
  });

  test("a state as a snapshot, and a snapshot as a state", () => {
    expect(failure(() => loadSnapshot(saved), saved)).toMatch(/is a training state: name one of the network snapshots/);
    expect(failure(() => loadState(snapshot), snapshot)).toMatch(
      /is a network snapshot: name one of the training states/,
    );
  });

  test.each([0, 5, 100, 5000, -1, -10_000])("a file cut at byte %i", (at) => {
    for (const { what, read } of readers) {
      const path = join(folder, "cut.safetensors");
      const whole = readFileSync(what === "training state" ? saved : snapshot);
      writeFileSync(path, whole.subarray(0, at < 0 ? whole.length + at : at));
      failure(() => read(path), path);
    }
  });

  test("a file of another kind", () => {
    const path = join(folder, "text.safetensors");
    writeFileSync(path, "this is a text, and by no means a short one");
    for (const { read } of readers) failure(() => read(path), path);
  });

  test.each(["missing", "damaged"])("%s metadata", (how) => {
    for (const field of ["network", "options", "clock"]) {
      const path = changed(saved, "metadata.safetensors", (_, metadata) => {
        if (how === "missing") delete metadata[field];
        else metadata[field] = metadata[field]!.slice(0, -1);
      });
      expect(failure(() => loadState(path), path)).toContain(`"${field}"`);
    }
    const path = changed(snapshot, "metadata.safetensors", (_, metadata) => {
      if (how === "missing") delete metadata["network"];
      else metadata["network"] = "{";
    });
    expect(failure(() => loadSnapshot(path), path)).toContain('"network"');
  });

  test.each(["null", "{}", "[1]", '{"arch":"ncsnpp","shape":{"channels":-3}}'])("metadata of %s", (text) => {
    const network = changed(
      snapshot,
      "metadata.safetensors",
      (_, metadata) => void Object.assign(metadata, { network: text }),
    );
    expect(failure(() => loadSnapshot(network), network)).toContain('"network"');
    const clock = changed(
      saved,
      "metadata.safetensors",
      (_, metadata) => void Object.assign(metadata, { clock: text }),
    );
    expect(failure(() => loadState(clock), clock)).toContain('"clock"');
  });

  test("a snapshot without one of its weights", () => {
    const path = changed(
      snapshot,
      "incomplete.safetensors",
      (tensors) => void tensors.delete("model.map_layer0.weight"),
    );
    expect(failure(() => loadSnapshot(path), path)).toContain("model.map_layer0.weight");
  });

  test("a state without one of its moments", () => {
    const path = changed(saved, "incomplete.safetensors", (tensors) => {
      tensors.delete("exp_avg.model.map_layer0.weight");
    });
    const fresh = initialState(config, 97, "fp32");
    expect(failure(() => loadState(path).restore(fresh), path)).toContain("exp_avg.model.map_layer0.weight");
    expect(fresh.images).toBe(0);
    disposeState(fresh);
  });
});

test("a write that fails leaves the file before it, and no other", () => {
  const path = join(folder, "atomic.safetensors");
  saveSnapshot(path, state, config, {});
  const before = readFileSync(path);
  const names = readdirSync(folder);
  // The last tensor cannot be read, when most of the file is on the disk already.
  const failing = { dtype: "float32", shape: [2] } as unknown as Tensor;
  Object.defineProperty(failing, "handle", {
    get() {
      throw new Error("the disk is full");
    },
  });
  const dict = vi.spyOn(state.averaged, "stateDict");
  dict.mockReturnValue(new Map([...state.averaged.stateDict(), ["model.zz", failing]]));
  try {
    state.images = 20_000;
    expect(() => saveSnapshot(path, state, config, {})).toThrow("the disk is full");
  } finally {
    state.images = 12_345;
    dict.mockRestore();
  }
  expect(readFileSync(path).equals(before)).toBe(true);
  expect(readdirSync(folder)).toEqual(names);
  expect(JSON.parse(readSafetensorsMetadata(path)["training"]!)).toEqual({ images: 12_345 });
});
