/**
 * How close averages that are made afterwards come to averages that were kept during training, by how many were stored.
 * Run: node examples/dist/averages.js IMAGES [STEPS]
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FlatParameters, noGrad, scope, type Tensor } from "@stf/torch";
import {
  DataOrder,
  denoisingTarget,
  initialState,
  loadSnapshot,
  type NetworkConfig,
  openDataset,
  powerDecay,
  powerExponent,
  reconstructAverages,
  saveAverages,
  type TrainingSettings,
  trainingStep,
} from "stf";

const [images, steps = "400"] = process.argv.slice(2);
if (images === undefined) throw new Error("usage: averages.js IMAGES [STEPS]");
const bank = await openDataset(images, { labels: false });
const folder = mkdtempSync(join(tmpdir(), "stf-averages-"));
const widths = [0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2];

const network: NetworkConfig = {
  arch: "ddpmpp",
  precond: "edm",
  shape: bank.shape,
  modelChannels: 16,
  channelMult: [1, 2],
  numBlocks: 1,
  attnResolutions: [],
  dropout: 0,
};

const settings: TrainingSettings = {
  seed: 0,
  batch: 16,
  microBatch: 16,
  learningRate: { peak: 1e-3, rampup: 0 },
  ema: { halflife: 1, rampupRatio: null },
  lossScaling: 1,
  target: denoisingTarget,
  references: 1,
};

const state = initialState(network, 0, "fp32", "cpu", { average: "power" });
const data = { bank, order: new DataOrder(bank.count, 0) };
const kept = widths.map(() => state.parameters.values.double());
/** Files of averages, one for every 40th of the training. */
const files: string[] = [];
const norm = (values: Tensor): number => values.linalgVectorNorm().item();

for (let step = 1; step <= Number(steps); step++) {
  const before = state.images;
  trainingStep(state, data, settings);
  noGrad(() =>
    scope(() => {
      const weights = state.parameters.values.double();
      for (const [i, width] of widths.entries()) {
        const decay = powerDecay(before, { batch: settings.batch, exponent: powerExponent(width) });
        (kept[i] as Tensor).lerp_(weights, 1 - decay);
      }
    }),
  );
  if (Math.floor((40 * step) / Number(steps)) > files.length) {
    files.push(join(folder, `averages-${state.images}.safetensors`));
    saveAverages(files.at(-1) as string, state, network, {});
  }
}

console.log(`${state.images} images; distance of the average of each width from the one kept, relative to its norm`);
console.log(["stored", ...widths].map((cell) => String(cell).padStart(8)).join(" "));
for (const every of [20, 10, 5, 2, 1]) {
  const from = files.filter((_, i) => (files.length - 1 - i) % every === 0);
  const { networks } = await reconstructAverages({ from, width: widths, dest: folder });
  const distances = networks.map(({ dest }, i) => {
    const snapshot = loadSnapshot(dest);
    const made = new FlatParameters(snapshot.denoiser, { trainable: false });
    const wanted = kept[i] as Tensor;
    const distance = scope(() => norm(made.values.double().sub(wanted)) / norm(wanted));
    made.dispose();
    snapshot.dispose();
    return distance;
  });
  console.log(
    [String(from.length), ...distances.map((each) => each.toExponential(1))].map((cell) => cell.padStart(8)).join(" "),
  );
}
rmSync(folder, { recursive: true });
