/** Networks under the names that other programs give them, and averages of their weights in the forms that these keep. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import {
  memory,
  type PickleValue,
  type StoredTensor,
  saveSafetensors,
  scope,
  type Tensor,
  tensor,
  withTorchFile,
} from "@stf/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { labelOf } from "../src/checkpoints/foreign/candidates.js";
import { importNetwork } from "../src/checkpoints/foreign/import.js";
import { readCheckpoint, readNetwork, type Which } from "../src/checkpoints/foreign/read.js";
import { searchNetworks } from "../src/checkpoints/foreign/search.js";
import { networkForTransfer } from "../src/checkpoints/foreign/transfer.js";
import { loadSnapshot } from "../src/checkpoints/network-file.js";
import { loadState } from "../src/checkpoints/state-file.js";
import { InputError, UsageError } from "../src/common/errors.js";

let folder = "";
const file = (name: string): string => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "stf-wrapped-"));
  for (const name of ["dict-zip.pth", "score-sde.pth"]) {
    const packed = fileURLToPath(new URL(`./golden/${name}.gz`, import.meta.url));
    writeFileSync(file(name), gunzipSync(readFileSync(packed)));
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Dictionary = Map<string, Tensor>;

/** A safetensors file made of the network in dict-zip.pth. */
function written(change: (network: Dictionary) => Dictionary): string {
  const path = file("made.safetensors");
  scope(() => saveSafetensors(path, change(readCheckpoint(file("dict-zip.pth")).tensors)));
  return path;
}

const renamed = <T>(network: ReadonlyMap<string, T>, rename: (name: string) => string): Map<string, T> =>
  new Map([...network].map(([name, value]) => [rename(name), value]));
const prefixed = <T>(network: ReadonlyMap<string, T>, prefix: string): Map<string, T> =>
  renamed(network, (name) => prefix + name);
const raised = (network: Dictionary): Dictionary =>
  new Map([...network].map(([name, value]) => [name, /filter$/.test(name) ? value : value.add(1)]));

/** The first weight of a network: 1 more where it is the average. */
function firstWeight(tensors: ReadonlyMap<string, Tensor>): number {
  return tensors.get("model.map_layer0.weight")!.toFloat64Array()[0]!;
}

describe("names before those of the network", () => {
  const prefixes = [
    "module.",
    "_orig_mod.",
    "net.",
    "ema_model.",
    "model.module.",
    "_orig_mod.module.",
    "module._orig_mod.",
    "a.b.module._orig_mod.model.",
  ];
  test.each([
    ...prefixes.map((prefix): [string, (name: string) => string] => [prefix, (name) => prefix + name]),
    ["none but the inner network's", (name: string) => name.replace(/^model\./, "")],
    ["a compiled inner network", (name: string) => name.replace(/^model\./, "model._orig_mod.")],
    ["compiled parts", (name: string) => name.replace(".conv1.", "._orig_mod.conv1.")],
  ])("%s", (_, rename) => {
    const before = memory().tensors;
    const wanted = readCheckpoint(file("dict-zip.pth"));
    const found = readNetwork(written((network) => renamed(network, rename).set("loss.weight", tensor([1]))));
    expect([...found.tensors.keys()].sort()).toEqual([...wanted.tensors.keys()].sort());
    for (const [name, value] of wanted.tensors) {
      expect(found.tensors.get(name)!.toFloat64Array()).toEqual(value.toFloat64Array());
    }
    expect(found.skipped).toEqual(["1 other tensor (loss.weight)"]);
    for (const each of [found, wanted]) for (const value of each.tensors.values()) value.dispose();
    expect(memory().tensors).toBe(before);
  });

  test("networks of other programs are called by their names", () => {
    const other = (name: string): string => written(() => new Map([[name, tensor([1])]]));
    for (const [name, says] of [
      ["unet.down_blocks.0.resnets.0.norm1.weight", /belong to diffusers/],
      ["module.input_blocks.0.0.weight", /guided diffusion/],
      ["module.all_modules.0.W", /score_sde/],
    ] as const) {
      expect(() => importNetwork(other(name), { precond: "edm" })).toThrow(says);
    }
    const edm2 = written((network) => prefixed(network, "unet.").set("unet.model.out_gain", tensor([1])));
    expect(() => scope(() => importNetwork(edm2, { precond: "edm" }))).toThrow(/out_gain|EDM2/);
  });
});

describe("which of several networks", () => {
  const both = (network: Dictionary): Dictionary =>
    new Map([
      ...prefixed(network, "online_model."),
      ...prefixed(raised(network), "ema_model."),
      ["initted", tensor([1])],
    ]);
  test.each<[Which, number, string, boolean]>([
    ["auto", 1, "ema_model", true],
    ["ema", 1, "ema_model", true],
    ["net", 0, "online_model", false],
  ])("%s", (which, shift, part, isAveraged) => {
    const plain = readNetwork(file("dict-zip.pth"));
    const found = readNetwork(written(both), which);
    expect(found).toMatchObject({ part, isAveraged });
    expect(firstWeight(found.tensors)).toBe(firstWeight(plain.tensors) + shift);
    expect(plain.isAveraged).toBe(false);
    for (const each of [plain, found]) for (const value of each.tensors.values()) value.dispose();
  });

  test("an average that counts its updates is one, under whatever name", () => {
    const path = written((network) => prefixed(network, "module.").set("n_averaged", tensor([3])));
    const { tensors, isAveraged, part } = readNetwork(path);
    expect([isAveraged, part]).toEqual([true, undefined]);
    for (const value of tensors.values()) value.dispose();
    expect(() => readNetwork(path, "net")).toThrow(UsageError);
  });

  test("what has one network under a name is not taken for its average", () => {
    const path = written((network) => prefixed(network, "net."));
    expect(() => readNetwork(path, "ema")).toThrow(/'which=ema' must name a network of .*, which has net$/);
  });

  test("an average that cannot be read is never passed over", () => {
    const path = written((network) => new Map([...network, ["model_ema.encweight", tensor([1])]]));
    for (const which of ["auto", "ema"] as const) {
      expect(() => readNetwork(path, which)).toThrow(/an average of the weights in an unsupported form \(model_ema/);
    }
    const { isAveraged, tensors } = readNetwork(path, "net");
    expect(isAveraged).toBe(false);
    for (const value of tensors.values()) value.dispose();
  });
});

describe("where programs keep averages", () => {
  /** What is found in a value, by where it is. */
  function found(make: (net: Map<string, StoredTensor>, ema: Map<string, StoredTensor>) => PickleValue): {
    average: string | undefined;
    network: string | undefined;
    unread: readonly string[];
  } {
    // Two times the same file: what is taken is known by identity.
    return withTorchFile(file("dict-zip.pth"), ({ value: first }) =>
      withTorchFile(file("dict-zip.pth"), ({ value: second }) => {
        const [net, ema] = [first, second] as unknown as Map<string, StoredTensor>[];
        const { networks, unread } = searchNetworks(make(net!, ema!));
        const label = (isAveraged: boolean): string | undefined => {
          const network = networks.find((each) => each.isAveraged === isAveraged);
          if (!network) return undefined;
          expect([...network.tensors.keys()].sort()).toEqual([...net!.keys()].sort());
          for (const [name, value] of network.tensors) {
            const owners = isAveraged ? (/filter$/.test(name) ? [net, ema] : [ema]) : [net];
            expect(
              owners.some((owner) => owner?.get(name) === value),
              name,
            ).toBe(true);
          }
          return labelOf(network) ?? "alone";
        };
        return { average: label(true), network: label(false), unread };
      }),
    );
  }
  const values = (network: ReadonlyMap<string, StoredTensor>): StoredTensor[] =>
    [...network].filter(([name]) => !/filter$/.test(name)).map(([, value]) => value);
  const map = (entries: Readonly<Record<string, PickleValue>>): PickleValue => new Map(Object.entries(entries));
  const dotless = (network: ReadonlyMap<string, StoredTensor>): Map<string, StoredTensor> =>
    renamed(
      new Map([...network].filter(([name]) => !/filter$/.test(name))),
      (name) => `model_ema.${name.replaceAll(".", "")}`,
    );

  type Make = Parameters<typeof found>[0];
  test.each<[string, Make, string, string]>([
    [
      "dictionaries side by side",
      (net, ema) => map({ model: net, model_ema: prefixed(ema, "module.") }),
      "model_ema",
      "model",
    ],
    [
      "ema-pytorch",
      (net, ema) =>
        map({ model: net, ema: new Map([...prefixed(net, "online_model."), ...prefixed(ema, "ema_model.")]) }),
      "ema.ema_model",
      "model",
    ],
    ["shadow by name", (net, ema) => map({ model: net, ema: map({ decay: 0.9, shadow: ema }) }), "ema.shadow", "model"],
    [
      "torch_ema, score_sde",
      (net, ema) => map({ model: prefixed(net, "module."), ema: map({ shadow_params: values(ema) }) }),
      "ema.shadow_params",
      "model",
    ],
    [
      "in the optimizer's state",
      (net, ema) => map({ state_dict: net, optimizer_states: [map({ opt: new Map(), ema: values(ema) })] }),
      "optimizer_states.0.ema",
      "state_dict",
    ],
    [
      "Lightning",
      (net, ema) => map({ state_dict: new Map([...prefixed(net, "net."), ...prefixed(ema, "net_ema.")]) }),
      "state_dict.net_ema",
      "state_dict.net",
    ],
    [
      "Lightning's own averaging",
      (net, ema) => map({ state_dict: prefixed(ema, "net."), current_model_state: prefixed(net, "net.") }),
      "state_dict.net",
      "current_model_state.net",
    ],
    [
      "latent diffusion",
      (net, ema) => map({ state_dict: new Map([...prefixed(net, "model."), ...dotless(ema)]) }),
      "state_dict.model_ema",
      "state_dict.model",
    ],
    ["deep inside", (net, ema) => map({ a: map({ b: map({ net, net_ema: ema }) }) }), "a.b.net_ema", "a.b.net"],
  ])("%s", (_, make, average, network) => {
    expect(found(make)).toEqual({ average, network, unread: [] });
  });

  test.each<[string, Make, string]>([
    [
      "a list with one tensor too few",
      (net, ema) => map({ model: net, ema: map({ shadow_params: values(ema).slice(1) }) }),
      "ema.shadow_params",
    ],
    ["a list in another order", (net, ema) => map({ model: net, ema: values(ema).reverse() }), "ema"],
    ["a dictionary of other names", (net) => map({ model: net, ema: new Map([["w", [...net.values()][0]!]]) }), "ema"],
  ])("not read, and said so: %s", (_, make, unread) => {
    expect(found(make)).toEqual({ average: undefined, network: "model", unread: [unread] });
  });

  test("Adam's moments are no averages", () => {
    const moments = (net: Map<string, StoredTensor>): PickleValue =>
      map({ state: new Map([[0, map({ exp_avg: [...net.values()][0]!, exp_avg_sq: [...net.values()][0]! })]]) });
    expect(found((net) => map({ model: net, optimizer: moments(net) }))).toEqual({
      average: undefined,
      network: "model",
      unread: [],
    });
  });

  test("a file of torch.save whose average is a list: its values under the network's names", () => {
    const { denoiser, source } = importNetwork(file("score-sde.pth"), { precond: "edm" });
    const plain = importNetwork(file("dict-zip.pth"), { precond: "edm" });
    expect(source).toMatchObject({ part: "ema.shadow_params", isAveraged: true });
    const weights = plain.denoiser.stateDict();
    for (const [name, value] of denoiser.stateDict()) {
      expect(value.toFloat64Array(), name).toEqual(weights.get(name)!.toFloat64Array());
    }
    expect(networkForTransfer(file("score-sde.pth"), "vp")).toMatchObject({ precond: "vp", modelChannels: 4 });
    for (const each of [denoiser, plain.denoiser]) each.dispose();
  });
});

describe("files of other kinds, told by what is in them", () => {
  const zip = (name: string): string => `PK\x03\x04${"\0".repeat(22)}${String.fromCharCode(name.length)}\0\0\0${name}`;
  test.each<[string, string, RegExp]>([
    ["HDF5", "\x89HDF\r\n\x1a\n\0\0", /it is an HDF5 file.*save the network's state_dict/],
    ["npz", zip("a.npy"), /it is an archive of NumPy arrays/],
    ["Keras", zip("metadata.json"), /it is a Keras model/],
    ["NumPy", "\x93NUMPY\x01\0", /it is a NumPy array/],
    ["ONNX", "\x08\x08\x12\x07pytorch", /it is an ONNX model/],
    ["gzip", "\x1f\x8b\x08\0", /compressed file, which must be unpacked/],
    ["tar", `${"a".repeat(257)}ustar`, /tar archive, which must be unpacked/],
    ["an image", "\x89PNG\r\n", /it is an image/],
    ["a web page", "<!doctype html><p>", /it is a web page.*download it again/],
    ["nothing", "", /it is empty/],
  ])("%s", (_, content, says) => {
    // A name says nothing.
    const path = file("network.safetensors");
    writeFileSync(path, Buffer.from(content, "latin1"));
    for (const read of [loadSnapshot, importNetwork, loadState]) {
      expect(() => read(path)).toThrow(says);
      expect(() => read(path)).toThrow(InputError);
    }
  });

  test("what can be imported is said to be, by whatever name", () => {
    writeFileSync(file("lightning.ckpt"), readFileSync(file("dict-zip.pth")));
    writeFileSync(file("a.safetensors"), Buffer.from("\x80\x02}.", "latin1"));
    saveSafetensors(file("b.safetensors"), new Map(), { format: "pt" });
    for (const name of ["lightning.ckpt", "a.safetensors", "b.safetensors"]) {
      expect(() => loadSnapshot(file(name))).toThrow(
        /from another program, it is .*: npx stf import .* --dest=network\.safetensors$/,
      );
    }
  });

  test("our own files, taken for each other", () => {
    saveSafetensors(file("state.safetensors"), new Map(), { format: "stf-training-state-1" });
    saveSafetensors(file("snapshot.safetensors"), new Map(), { format: "stf-network-1" });
    expect(() => loadSnapshot(file("state.safetensors"))).toThrow(
      /is a training state: name one of the network snapshots/,
    );
    expect(() => loadState(file("snapshot.safetensors"))).toThrow(
      /is a network snapshot: name one of the training states/,
    );
  });

  test("addresses and folders of diffusers", () => {
    const address = "https://example.org/network.pkl";
    for (const read of [loadSnapshot, importNetwork]) expect(() => read(address)).toThrow(/download it/);
    mkdirSync(file("pipeline"));
    writeFileSync(file("pipeline/model_index.json"), "{}");
    expect(() => importNetwork(file("pipeline"))).toThrow(/a diffusers pipeline/);
  });
});
