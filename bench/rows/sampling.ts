/** The denoiser's forward pass, and sampling with it. */

import { noGrad, randn, scope } from "@stf/torch";
import { edmMethod, generateImages, karrasSteps, type Precision } from "stf";
import { type Bench, type Benchmark, compare, imagesPerSecond, type Opponent, type Row } from "../benchmark.js";
import { type BenchNetwork, batchOn, networkNames, networks } from "../networks.js";
import { sameNetwork } from "../peer.js";
import type { Place } from "../place.js";
import { Trainee } from "../trainee.js";

/** What both sides measure with a network. */
interface Task {
  readonly name: string;
  /** Evaluations of the network for an image. */
  readonly evaluations: number;
  /** @param shape - of the images */
  readonly ours: (trainee: Trainee, shape: readonly [number, number, number, number]) => void;
  readonly command: string;
  readonly args: Record<string, unknown>;
}

const forward: Task = {
  name: "denoiser forward",
  evaluations: 1,
  ours: ({ denoiser }, shape) =>
    noGrad(() =>
      scope(() => {
        denoiser.forward(randn(shape, { device: denoiser.device }), new Float64Array(shape[0]).fill(1));
      }),
    ),
  command: "forward",
  args: {},
};

const heunOf = (steps: number): Task => ({
  name: `sampling, Heun with ${steps} steps`,
  evaluations: 2 * steps - 1,
  ours: ({ denoiser }, [batch]) => {
    const seeds = Array.from({ length: batch }, (_, seed) => seed);
    generateImages(denoiser, seeds, {
      method: edmMethod(denoiser.preconditioning, { steps }),
    }).images.dispose();
  },
  command: "heun",
  args: { levels: karrasSteps(steps).times },
});

async function run(bench: Bench, network: BenchNetwork, task: Task, precision: Precision): Promise<Row[]> {
  const { config } = network;
  const { pytorch, place } = bench;
  const batch = batchOn(network, place);
  const { channels, height, width } = config.shape;
  const shape = [batch, channels, height, width] as const;
  const ours = new Trainee(place, config, precision, batch);
  try {
    const against: Opponent[] = [];
    if (pytorch) {
      await sameNetwork(pytorch, ours, config, bench.folder, precision);
      const args = { batch, shape: Object.values(config.shape), ...task.args };
      against.push({ what: `PyTorch, ${precision}`, cost: () => pytorch.call<number>(task.command, args) });
    }
    return await compare(bench, {
      unit: imagesPerSecond(batch),
      ours: () => place.time(() => task.ours(ours, shape)),
      against,
      flops: { what: "its model FLOPs", count: batch * task.evaluations * ours.forwardFlops, precision },
    });
  } finally {
    await pytorch?.call("forget");
    ours.dispose();
  }
}

/** In the precisions of this device. */
export const samplingBenchmarks = ({ precisions }: Place): readonly Benchmark[] =>
  networkNames.flatMap((key) =>
    // A row compares single rounds, and the large networks take seconds per evaluation.
    [forward, heunOf(key === "small" ? 6 : 3)].flatMap((task) =>
      precisions.map((precision) => ({
        section: "Sampling",
        name: `${task.name}, ${networks[key].label}, ${precision}`,
        isShort: key === "small",
        run: (bench) => run(bench, networks[key], task, precision),
      })),
    ),
  );
