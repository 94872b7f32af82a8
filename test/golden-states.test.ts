/** Golden files of states: weights, and training states, in this program's format and in PyTorch's. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { setThreads, type Tensor, withTorchFile } from "@stf/torch";
import { readCheckpoint } from "stf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { GoldenFolder, networkOf, normals, numbers, publishedFile, scoped } from "./golden-files.js";

setThreads(1);

let folder: GoldenFolder;
beforeAll(() => {
  folder = new GoldenFolder();
});
afterAll(() => folder.dispose());

test(
  "a file of PyTorch is compared with the one of the same name",
  scoped(() => {
    const [zip, twin] = ["12_state_zip.pth", "12_state.safetensors"] as const;
    writeFileSync(join(folder.path, zip), gunzipSync(readFileSync(publishedFile("dict-zip.pth.gz"))));
    const { tensors } = readCheckpoint(join(folder.path, zip));
    folder.write(twin, Object.fromEntries(tensors), {});
    folder.write("12_another.safetensors", { other: [1] }, {});
    expect(folder.failures(zip)).toEqual([]);
    const [name, value] = [...tensors][3] as [string, Tensor];
    folder.change(twin, { [name]: value.add(1e-6) });
    expect(folder.failures(zip)).toEqual([name]);
  }),
);

test(
  "a training state goes through ours, and a step from there is Adam's",
  scoped(() => {
    const name = "12_training_state.safetensors";
    const config = {
      cls: "EDMPrecond",
      model_type: "SongUNet",
      img_resolution: 4,
      img_channels: 1,
      augment_dim: 2,
      model_channels: 8,
      channel_mult: [1],
      num_blocks: 1,
      attn_resolutions: [4],
    };
    const denoiser = networkOf(config, 21);
    const order = Array.from(denoiser.namedParameters(), ([key]) => key);
    const net = Array.from(denoiser.stateDict(), ([key, value]) => [`net.${key}`, value] as const);
    // The first parameter never had a gradient.
    const moments = Array.from(denoiser.namedParameters()).flatMap(([key, { shape }], i) => [
      [`adam.${key}.step`, numbers([5], []).float()] as const,
      [`adam.${key}.exp_avg`, normals(shape, i)] as const,
      [`adam.${key}.exp_avg_sq`, normals(shape, i + 100).square()] as const,
    ]);
    const content = Object.fromEntries([...net, ...moments.slice(3)]);
    const half = Math.floor(order.length / 2);
    const groups = [
      { lr: 1e-2, betas: [0.8, 0.97], eps: 1e-3, weight_decay: 0, params: [...order.keys()].slice(0, half) },
      { lr: 3e-3, betas: [0.5, 0.9], eps: 1e-6, weight_decay: 0, params: [...order.keys()].slice(half) },
    ];
    folder.write(name, content, { config, param_order: order, param_groups: groups });
    expect(folder.failures(name)).toEqual([]);
    folder.change(name, {}, { param_order: [...order].reverse() });
    expect(folder.failures(name)).toContain("order of the parameters");
    folder.change(name, { "adam.model.nothing.exp_avg": [1] }, { param_order: order });
    expect(folder.failures(name)).toEqual([expect.stringContaining("adam.model.nothing.exp_avg")]);
    denoiser.dispose();
  }),
);

test(
  "a training state of PyTorch has the optimizer by the numbers of its parameters",
  scoped(() => {
    const [file, twin] = ["12_published_state.pt", "12_published_state.safetensors"] as const;
    writeFileSync(join(folder.path, file), gunzipSync(readFileSync(publishedFile("edm-state.pt.gz"))));
    const { tensors } = readCheckpoint(join(folder.path, file), "net");
    const net = Array.from(tensors, ([key, value]) => [`net.${key}`, value] as const);
    // Adam's first step, with gradients of one.
    const order = ["first", "second"];
    const shapes = withTorchFile(join(folder.path, file), ({ value }) => {
      const moments = (value as unknown as Map<string, Map<string, Map<number, Map<string, Tensor>>>>)
        .get("optimizer_state")
        ?.get("state");
      return [0, 1].map((number) => moments?.get(number)?.get("exp_avg")?.shape as readonly number[]);
    });
    const filled = (shape: readonly number[], value: number): Tensor => normals(shape, 1).zerosLike().add(value);
    const adam = order.flatMap((key, i) => [
      [`adam.${key}.step`, filled([], 1)] as const,
      [`adam.${key}.exp_avg`, filled(shapes[i] as readonly number[], 0.1)] as const,
      [`adam.${key}.exp_avg_sq`, filled(shapes[i] as readonly number[], 1e-3)] as const,
    ]);
    const groups = [{ lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, params: [0, 1] }];
    folder.write(twin, Object.fromEntries([...net, ...adam]), { param_order: order, param_groups: groups });
    expect(folder.failures(file)).toEqual([]);
    folder.change(twin, {}, { param_groups: [{ ...groups[0], eps: 1e-7 }] });
    expect(folder.failures(file)).toEqual(["group 0"]);
    for (const tensor of tensors.values()) tensor.dispose();
  }),
);
