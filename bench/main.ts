/**
 * `npm run bench`: the project's own truth about speed. Ours against PyTorch computing the same thing in the same run, in
 * turns, with equal threads and processor capability. Prints a table; `--json=FILE` writes the numbers too. `--quick` takes
 * fewer rounds, `--only=TEXT` the rows whose name contains it.
 */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  engineReport,
  Generator,
  ones,
  randint,
  randn,
  saveSafetensors,
  scope,
  tensor,
  timeOperator,
} from "@stf/torch";
import { bfloat16Support } from "@stf/torch/installation";
import {
  augmentationSettings,
  classMembers,
  DataOrder,
  denoisingTarget,
  disposeState,
  drawPool,
  ImageBank,
  initialState,
  KeyedRandom,
  logNormalLevels,
  type NetworkConfig,
  normalize,
  randomKey,
  sigmaRange,
  stableFieldTarget,
  type TrainingSettings,
  trainingStep,
} from "stf";
import { compare, measure, median, time } from "./measure.js";
import { findPython, Peer } from "./peer.js";

interface Row {
  readonly name: string;
  readonly unit: string;
  readonly ours: number;
  /** What ours is compared with, and its value in the same unit. */
  readonly against: string;
  readonly theirs: number | undefined;
  /** How many times faster ours is. */
  readonly ratio: number | undefined;
}

const { values: flags } = parseArgs({
  options: {
    json: { type: "string" },
    quick: { type: "boolean", default: false },
    only: { type: "string", default: "" },
  },
});
const rounds = flags.quick ? 3 : 9;
const rows: Row[] = [];
const wanted = (name: string): boolean => name.includes(flags.only);

const format = (value: number | undefined): string =>
  value === undefined ? "" : value >= 100 ? value.toFixed(0) : value.toPrecision(3);

function report(row: Row): void {
  rows.push(row);
  const ratio = row.ratio === undefined ? "" : `${format(row.ratio)}x`;
  console.log(
    [
      row.name.padEnd(46),
      `${format(row.ours)} ${row.unit}`.padStart(16),
      `${format(row.theirs)}`.padStart(10),
      ratio.padStart(8),
      `  ${row.against}`,
    ].join(""),
  );
}

const smallNetwork: NetworkConfig = {
  arch: "ddpmpp",
  precond: "edm",
  shape: { channels: 3, height: 32, width: 32 },
  modelChannels: 32,
  channelMult: [1, 2, 2],
  numBlocks: 2,
  attnResolutions: [16],
  dropout: 0.1,
};

function randomBank(config: NetworkConfig, count: number): ImageBank {
  const { channels, height, width } = config.shape;
  const random = new KeyedRandom(randomKey(0, "order"));
  return ImageBank.fromBytes(
    "random",
    config.shape,
    Uint8Array.from({ length: count * channels * height * width }, () => random.integer(256)),
    config.labelDim ? { labels: Int32Array.from({ length: count }, (_, i) => i % (config.labelDim as number)) } : {},
  );
}

/** Seconds of one training step. */
function stepper(
  config: NetworkConfig,
  precision: "fp32" | "bf16",
  batch: number,
  objective: Pick<TrainingSettings, "target" | "references"> & Partial<TrainingSettings>,
): {
  step: () => number;
  weights: (path: string) => void;
  output: (path: string) => number[];
  dispose: () => void;
} {
  const state = initialState(config, 0, precision);
  const bank = randomBank(config, 10_240);
  const classes = bank.labels && config.labelDim ? classMembers(bank.labels) : undefined;
  const data = { bank, order: new DataOrder(bank.count, 0), classes, generator: new Generator() };
  const settings: TrainingSettings = {
    seed: 0,
    batch,
    microBatch: batch,
    learningRate: { peak: 1e-3, rampup: 0 },
    ema: { halflife: 500_000, rampupRatio: null },
    lossScaling: 1,
    noiseLevels: logNormalLevels(-1.2, 1.2),
    ...objective,
  };
  return {
    step: () => time(() => void trainingStep(state, data, settings)),
    weights: (path) => saveSafetensors(path, state.network.stateDict()),
    output: (path) =>
      scope(() => {
        const x = randn([2, ...Object.values(config.shape)]);
        const sigma = Float64Array.of(0.5, 2);
        saveSafetensors(
          path,
          new Map([
            ["x", x],
            ["sigma", tensor(sigma, { dtype: "float32" })],
          ]),
        );
        return Array.from(state.averaged.forward(x, sigma).flatten().slice(0, 0, 4096).toFloat32Array());
      }),
    dispose: () => {
      disposeState(state);
      bank.dispose();
    },
  };
}

async function operatorCall(peer: Peer | undefined): Promise<void> {
  using a = ones([4, 4]);
  const count = 20_000;
  const ours = (): number =>
    (time(() => {
      for (let i = 0; i < count; i += 100) {
        scope(() => {
          for (let j = 0; j < 100; j++) a.add(a);
        });
      }
    }) /
      count) *
    1e6;
  const native = (): number => (timeOperator("aten::add.Tensor", count, a, a) / count) * 1e6;
  const inC = await compare(ours, native, rounds);
  report({
    name: "operator call, add of [4, 4]",
    unit: "us",
    ours: inC.ours,
    against: "the same boxed call from C++",
    theirs: inC.theirs,
    ratio: inC.ratio,
  });
  // Without a result to hold, and with hardly any work: what a call costs by itself.
  const others = [
    { what: "in place, mul_ of [4, 4]", name: "aten::mul_.Tensor", values: [a, a], once: () => void a.mul_(a) },
    {
      what: "of no work, is_floating_point",
      name: "aten::is_floating_point",
      values: [a],
      once: () => void a.isFloatingPoint(),
    },
  ];
  for (const { what, name, values, once } of others) {
    const measured = await compare(
      () => {
        const seconds = time(() => {
          for (let i = 0; i < count; i++) once();
        });
        return (seconds / count) * 1e6;
      },
      () => (timeOperator(name, count, ...values) / count) * 1e6,
      rounds,
    );
    report({
      name: `operator call ${what}`,
      unit: "us",
      ours: measured.ours,
      against: "the same boxed call from C++",
      theirs: measured.theirs,
      ratio: measured.ratio,
    });
  }
  if (!peer) return;
  const inPython = await compare(ours, () => peer.call<number>("add", { count }), rounds);
  report({
    name: "operator call, add of [4, 4]",
    unit: "us",
    ours: inPython.ours,
    against: "PyTorch from Python",
    theirs: inPython.theirs,
    ratio: inPython.ratio,
  });
}

async function stableTarget(peer: Peer | undefined): Promise<void> {
  const [batch, dimension] = [64, 3072];
  const pixels = scope(() => randint(0, 256, [50_000, dimension], { dtype: "uint8" }));
  const bank = new ImageBank("random", smallNetwork.shape, pixels);
  const random = new KeyedRandom(randomKey(0, "references"));
  const indices = random.permutation(bank.count).slice(0, batch);
  // So much noise that every reference has a weight: those without one cost little.
  const levels = logNormalLevels(4, 0.5);
  const sigma = Float64Array.from(indices, () => levels(random));
  using source = normalize(bank.gather(indices)).view([batch, 3, 32, 32]);
  using noise = randn([batch, 3, 32, 32]);
  using perturbed = source.addcmul(noise, tensor(sigma, { shape: [batch, 1, 1, 1], dtype: "float32" }));
  const target = stableFieldTarget();
  const ours = (n: number): number => {
    const pool = n === bank.count ? "all" : drawPool(indices, n, bank.count, random);
    return (
      1e3 * time(() => scope(() => void target({ indices, source, noise, sigma, perturbed }, { bank, pool, size: n })))
    );
  };
  for (const n of flags.quick ? [1024] : [256, 1024, 4096, bank.count]) {
    const name = `STF target, B=${batch}, n=${n}, D=${dimension}`;
    // The published form holds batch x references x values at a time: 3 GiB an array for 4096.
    const broadcast = n <= 1024 ? peer : undefined;
    const measured = broadcast
      ? await compare(
          () => ours(n),
          async () => 1e3 * (await broadcast.call<number>("target", { batch, references: n, dimension })),
          Math.min(rounds, 5),
        )
      : { ours: await measure(() => ours(n), rounds), theirs: undefined, ratio: undefined };
    report({ name, unit: "ms", ...measured, against: broadcast ? "PyTorch by broadcasting" : "" });
    const gflops = (4 * batch * n * dimension) / measured.ours / 1e6;
    using left = randn([1024, 1024]);
    const limit = median(
      Array.from({ length: rounds }, () => (2 * 1024 ** 3) / time(() => scope(() => void left.mm(left))) / 1e9),
    );
    report({
      name: `  its two matrix products`,
      unit: "GFLOP/s",
      ours: gflops,
      against: "matrix product of 1024, this run",
      theirs: limit,
      ratio: gflops / limit,
    });
  }
  bank.dispose();
}

/** The published setting for CIFAR-10. */
const augmentation = augmentationSettings({ probability: 0.12 });
/** Below it `--stf-sigma=auto` finds nothing to compute for most images of CIFAR-10. */
const isNeeded = sigmaRange(0.8, Number.MAX_VALUE);
const augmented = { ...smallNetwork, augmentDim: 9 };

/** STF with n = 1024 in its settings, each against DSM in the same. */
const stableVariants: readonly { name: string; network: NetworkConfig; more: Partial<TrainingSettings> }[] = [
  { name: "STF", network: smallNetwork, more: {} },
  { name: "STF by class", network: { ...smallNetwork, labelDim: 10 }, more: {} },
  { name: "STF by class, sigma > 0.8", network: { ...smallNetwork, labelDim: 10 }, more: { isNeeded } },
  { name: "STF consistent, all sigma", network: augmented, more: { augmentation } },
  { name: "STF consistent, sigma > 0.8", network: augmented, more: { augmentation, isNeeded } },
  {
    name: "STF independent",
    network: augmented,
    more: { augmentation, referenceAugmentation: "independent" },
  },
];

async function trainStep(peer: Peer | undefined, folder: string): Promise<void> {
  const batch = 16;
  const precisions = bfloat16Support() === "emulated" ? (["fp32"] as const) : (["fp32", "bf16"] as const);
  for (const precision of precisions) {
    const dsm = stepper(smallNetwork, precision, batch, { target: denoisingTarget, references: 1 });
    const perSecond = (seconds: number): number => batch / seconds;
    if (peer) {
      const weights = join(folder, "weights.safetensors");
      const inputs = join(folder, "inputs.safetensors");
      dsm.weights(weights);
      await peer.call("network", { config: smallNetwork, weights, precision });
      checkSame(dsm.output(inputs), await peer.call<number[]>("output", { inputs }), precision);
      const shape = Object.values(smallNetwork.shape);
      const measured = await compare(dsm.step, () => peer.call<number>("step", { batch, shape }), rounds);
      report({
        name: `train step, small U-Net, DSM, ${precision}`,
        unit: "images/s",
        ours: perSecond(measured.ours),
        theirs: perSecond(measured.theirs),
        ratio: measured.ratio,
        against: `PyTorch, ${precision}`,
      });
    } else {
      report({
        name: `train step, small U-Net, DSM, ${precision}`,
        unit: "images/s",
        ours: perSecond(await measure(dsm.step, rounds)),
        against: "",
        theirs: undefined,
        ratio: undefined,
      });
    }
    dsm.dispose();
    if (flags.quick && precision !== "fp32") continue;
    for (const { name, network, more } of stableVariants) {
      const denoising = stepper(network, precision, batch, { ...more, target: denoisingTarget, references: 1 });
      const stable = stepper(network, precision, batch, { ...more, target: stableFieldTarget(), references: 1024 });
      const against = await compare(stable.step, denoising.step, rounds);
      report({
        name: `train step, small U-Net, ${name}, ${precision}`,
        unit: "images/s",
        ours: perSecond(against.ours),
        theirs: perSecond(against.theirs),
        ratio: against.ratio,
        against: "our own DSM step",
      });
      denoising.dispose();
      stable.dispose();
    }
  }
}

/** A comparison of speed is worth nothing unless both sides compute the same. */
function checkSame(ours: number[], theirs: number[], precision: string): void {
  const largest = Math.max(...theirs.map(Math.abs));
  const deviation = Math.max(...ours.map((value, i) => Math.abs(value - (theirs[i] ?? Number.NaN)))) / largest;
  const tolerance = precision === "fp32" ? 1e-4 : 0.05;
  if (!(deviation < tolerance)) throw new Error(`the peer's network gives other outputs: ${deviation} apart, relative`);
}

const engine = engineReport();
console.log(
  `${cpus()[0]?.model.trim() ?? "processor"}, ${engine.threads} threads, libtorch ${engine.version}, ${engine.cpuCapability}`,
);
const python = findPython();
const peer = python === undefined ? undefined : new Peer(python);
if (peer) {
  const { version, threads, capability } = await peer.call<{ version: string; threads: number; capability: string }>(
    "hello",
    { threads: engine.threads },
  );
  console.log(`peer: PyTorch ${version} of ${python}, ${threads} threads, ${capability}`);
} else {
  console.log("no peer: no Python here can import torch; name one with STF_BENCH_PYTHON");
}
console.log(`${"".padEnd(46)}${"ours".padStart(16)}${"theirs".padStart(10)}${"ratio".padStart(8)}  against`);
const folder = mkdtempSync(join(tmpdir(), "stf-bench-"));
try {
  if (wanted("operator")) await operatorCall(peer);
  if (wanted("target")) await stableTarget(peer);
  if (wanted("train")) await trainStep(peer, folder);
  if (flags.json !== undefined)
    writeFileSync(flags.json, `${JSON.stringify({ engine, python, rows }, undefined, 2)}\n`);
} finally {
  peer?.stop();
  rmSync(folder, { recursive: true, force: true });
}
