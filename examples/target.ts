/**
 * A target of one's own, halfway between the clean image and the stable target, and a small network trained on it.
 * Run: node examples/dist/target.js IMAGES SNAPSHOT [STEPS], then draw with: npx stf generate --network=SNAPSHOT --grid=grid.png
 */

import { scope } from "@stf/torch";
import {
  DataOrder,
  initialState,
  type NetworkConfig,
  openDataset,
  type ReferenceTarget,
  saveNetwork,
  stableFieldTarget,
  type TrainingSettings,
  trainingStep,
} from "stf";

const stable = stableFieldTarget();

/** Both have the same expectation given the noisy image, and so has their mean. */
const halfway: ReferenceTarget = {
  needsReferences: true,
  of: (batch, references) => scope(() => stable.of(batch, references).add(batch.source).mul_(0.5)),
};

const [images, snapshot, steps = "1000"] = process.argv.slice(2);
if (images === undefined || snapshot === undefined) throw new Error("usage: target.js IMAGES SNAPSHOT [STEPS]");
const bank = await openDataset(images, { labels: false });

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
  ema: { halflife: 2000, rampupRatio: 0.05 },
  lossScaling: 1,
  target: halfway,
  references: Math.min(256, bank.count),
};

const state = initialState(network, 0, "fp32");
const data = { bank, order: new DataOrder(bank.count, 0) };
let sum = 0;
for (let step = 1; step <= Number(steps); step++) {
  sum += trainingStep(state, data, settings).mean;
  if (step % 100 === 0 || step === Number(steps)) console.log(`${step} steps, mean loss ${(sum / step).toFixed(4)}`);
}
saveNetwork(snapshot, state.averaged, network, { images: state.images });
console.log(`saved ${snapshot}`);
