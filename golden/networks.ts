/** Networks and single blocks: outputs and gradients. */

import { grad, scope, type Tensor, zerosInitializer as zeros } from "@stf/torch";
import { type Conditions, type Denoiser, UNetBlock } from "stf";
import type { GoldenFile } from "./golden-file.js";
import { checkTables } from "./noise-levels.js";
import { conditionsOf, denoiserOf } from "./published-network.js";

const OUTPUT_TOLERANCE = 1e-5;
const FLOAT64_TOLERANCE = 1e-10;
const GRADIENT_TOLERANCE = 1e-4;

export function checkNetwork(file: GoldenFile): void {
  const denoiser = denoiserOf(file);
  const x = file.tensor("x");
  const sigma = file.numbers("sigma");
  scope(() => {
    const conditions = conditionsOf(file);
    file.compare("output", denoiser.forward(x, sigma, conditions), file.tensor("D"), OUTPUT_TOLERANCE);
    const exact = denoiser.forward(x.double(), sigma, conditionsOf(file, "float64"));
    file.compare("output in float64", exact, file.tensor("D_float64"), FLOAT64_TOLERANCE);
    for (const name of file.names.filter((name) => name.startsWith("D_no_"))) {
      const output = denoiser.forward(x, sigma, without(name, conditions));
      file.compare(name, output, file.tensor(name), OUTPUT_TOLERANCE);
    }
    checkGradients(file, denoiser, (leaf) => denoiser.forward(leaf, sigma, conditions));
  });
  checkTables(file, denoiser.preconditioning.levels);
  denoiser.dispose();
}

/** Leaves out the inputs that the name of an output says, and nothing else. */
function without(name: string, { labels, augmentLabels }: Conditions): Conditions {
  return {
    ...(!name.includes("class") && { labels }),
    ...(!name.includes("augment") && { augmentLabels }),
  };
}

/** Gradients of the mean of the squared output. */
function checkGradients(file: GoldenFile, denoiser: Denoiser, forward: (x: Tensor) => Tensor): void {
  const names = file.names.filter((name) => name.startsWith("grad.")).map((name) => name.slice("grad.".length));
  const parameters = new Map(denoiser.namedParameters());
  const x = file.tensor("x").clone().requiresGrad_();
  const leaves = names.map((name) => {
    const leaf = name === "x" ? x : parameters.get(name);
    if (!leaf) throw new Error(`the network has no parameter "${name}"`);
    return leaf;
  });
  const loss = forward(x).square().mean();
  if (file.has("loss")) file.compare("loss", loss, file.tensor("loss"), OUTPUT_TOLERANCE);
  grad([loss], leaves).forEach((gradient, i) => {
    file.compare(`gradient of ${names[i]}`, gradient, file.tensor(`grad.${names[i]}`), GRADIENT_TOLERANCE);
  });
}

/** Constructor arguments of a single block. */
interface PublishedBlock {
  readonly in_channels: number;
  readonly out_channels: number;
  readonly emb_channels: number;
  readonly up?: boolean;
  readonly down?: boolean;
  readonly attention?: boolean;
  readonly heads?: number;
  readonly num_heads?: number;
  readonly channels_per_head?: number;
  readonly skip_scale?: number;
  readonly eps?: number;
  readonly resample_filter?: number[];
  readonly resample_proj?: boolean;
  readonly adaptive_scale?: boolean;
}

function headsOf({ heads, attention, num_heads, channels_per_head = 64, out_channels }: PublishedBlock): number {
  if (heads !== undefined) return heads;
  return attention ? (num_heads ?? Math.floor(out_channels / channels_per_head)) : 0;
}

/** The weights come from the file. */
const initializers = { main: zeros, mainBias: zeros, branchEnd: zeros, branchEndBias: zeros, attention: zeros };

export function checkBlocks(file: GoldenFile): void {
  for (const [name, config] of Object.entries(file.metadata<Record<string, PublishedBlock>>("config"))) {
    const { up = false, down = false } = config;
    const block = new UNetBlock(
      config.in_channels,
      config.out_channels,
      {
        embeddingChannels: config.emb_channels,
        dropout: 0,
        skipScale: config.skip_scale ?? 1,
        eps: config.eps ?? 1e-5,
        filter: config.resample_filter ?? [1, 1],
        projectResampledSkip: config.resample_proj ?? false,
        adaptiveScale: config.adaptive_scale ?? true,
        init: initializers,
      },
      { resampling: up ? "up" : down ? "down" : undefined, heads: headsOf(config) },
    );
    block.loadStateDict(file.under(`${name}.state.`));
    scope(() => {
      const x = file.tensor(`${name}.x`).clone().requiresGrad_();
      const embedding = file.tensor(`${name}.emb`).clone().requiresGrad_();
      const output = block.forward(x, embedding);
      file.compare(`${name}: output`, output, file.tensor(`${name}.y`), OUTPUT_TOLERANCE);
      const parameters = new Map(block.namedParameters());
      const expected = [...file.under(`${name}.grad.`)];
      const leaves = expected.map(([leaf]) => ({ x, emb: embedding })[leaf] ?? (parameters.get(leaf) as Tensor));
      grad([output.square().mean()], leaves).forEach((gradient, i) => {
        const [leaf, wanted] = expected[i] as [string, Tensor];
        file.compare(`${name}: gradient of ${leaf}`, gradient, wanted, GRADIENT_TOLERANCE);
      });
    });
    block.dispose();
  }
}
