/**
 * Steps that several processes share, and what their communication costs. Started once per process with torchrun's variables, as
 * `bench/ranks.sh` does: RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT. Rank 0 prints one line of JSON.
 *
 *     node bench/dist/ranks.js --network=ddpmpp --batch=4 --batch-gpu=4 --steps=5 --precision=fp32
 *
 * Each process has `batch` images in a step, `batch-gpu` of them in a forward pass.
 */

import { parseArgs } from "node:util";
import { scope, type Tensor } from "@stf/torch";
import {
  DataOrder,
  denoisingTarget,
  initialState,
  type Precision,
  rankOf,
  silentReporter,
  Team,
  trainingStep,
  UsageError,
} from "stf";
import { type NetworkName, networks, randomBank } from "./networks.js";

const IMAGES = 1024;
/** Not measured: memory is allocated in them. */
const WARM_UP = 2;

const { values } = parseArgs({
  options: {
    network: { type: "string", default: "small" },
    batch: { type: "string", default: "4" },
    "batch-gpu": { type: "string", default: "8" },
    steps: { type: "string", default: "5" },
    precision: { type: "string", default: "fp32" },
    overlap: { type: "boolean", default: true },
  },
  allowNegative: true,
});
const network = networks[values.network as NetworkName];
if (!network) throw new UsageError(`--network must be one of ${Object.keys(networks).join(", ")}`);

const rank = rankOf();
const { meeting } = rank;
const team =
  meeting === undefined || rank.size === 1
    ? undefined
    : await Team.join(rank, meeting, { reporter: silentReporter, shouldStop: () => false });
const batch = Number(values.batch) * rank.size;
const state = initialState(network.config, 0, values.precision as Precision);
const bank = randomBank(network.config.shape, IMAGES);
team?.share(state.parameters);
const data = { bank, order: new DataOrder(bank.count, 0) };
const ranks = team && {
  ...{ rank: team.rank, size: team.size, any: (statements: readonly boolean[]) => team.any(statements) },
  beginSums: () => (values.overlap ? team.beginSums() : undefined),
  finishSums: (others: Parameters<Team["finishSums"]>[0]) => team.finishSums(others),
  sum: (values: Tensor) => team.sum(values),
  gatherRows: (rows: Tensor) => team.gatherRows(rows),
};
const settings = {
  ...{
    seed: 0,
    target: denoisingTarget,
    batch,
    microBatch: Math.min(batch, Number(values["batch-gpu"])),
    lossScaling: 1,
    ranks,
  },
  ...{ learningRate: { peak: 1e-4, rampup: 0 }, ema: { halflife: 500_000, rampupRatio: 0.05 } },
};
const seconds: number[] = [];
const waits: number[] = [];
for (let step = 0; step < WARM_UP + Number(values.steps); step++) {
  const start = performance.now();
  scope(() => trainingStep(state, data, settings));
  if (step < WARM_UP) continue;
  seconds.push((performance.now() - start) / 1000);
  waits.push(team?.lastSums?.waited ?? 0);
}
const median = (numbers: readonly number[]): number => numbers.toSorted((a, b) => a - b)[numbers.length >> 1] as number;
if (rank.rank === 0) {
  const { backward = 0, sums = [] } = team?.lastSums ?? {};
  console.log(
    JSON.stringify({
      ...{ network: values.network, precision: values.precision, ranks: rank.size, batch, overlap: values.overlap },
      stepSeconds: median(seconds),
      imagesPerSecond: batch / median(seconds),
      waitedSeconds: median(waits),
      megabytes: team ? (4 * state.parameters.gradients.numel) / 1e6 : 0,
      backwardSeconds: backward,
      sums: sums.map(({ begun, ended }) => [begun, ended].map((time) => Number(time.toFixed(3)))),
    }),
  );
}
team?.leave();
