/** Checkpoints: what is written comes back, and what cannot be read says so in one line. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
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
import type { NetworkConfig } from "../src/networks/build.js";
import { InputError } from "../src/run/errors.js";
import { loadSnapshot, loadState, saveSnapshot, saveState } from "../src/training/checkpoint.js";
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
    expect(loaded.config).toEqual(config);
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
    expect(JSON.parse(metadata["network"]!)).toEqual(config);
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
    expect(loaded.config).toEqual(config);
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
    expect(failure(() => read(path), path)).toMatch(/format must be "stf-.*found none/);
  });

  test("a state as a snapshot, and a snapshot as a state", () => {
    expect(failure(() => loadSnapshot(saved), saved)).toMatch(/no network snapshot.*stf-training-state/);
    expect(failure(() => loadState(snapshot), snapshot)).toMatch(/no training state.*stf-network/);
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
