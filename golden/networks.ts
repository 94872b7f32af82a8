/** Networks and preconditionings: outputs, gradients, and the tables behind the noise levels. */

import { grad, scope, type Tensor, zerosInitializer as zeros } from "@stf/torch";
import {
  Denoiser,
  DhariwalUNet,
  edmPreconditioning,
  iddpmPreconditioning,
  nearestLevel,
  type Preconditioning,
  SongUNet,
  UNetBlock,
  vePreconditioning,
  vpPreconditioning,
  vpProcess,
} from "stf";
import type { GoldenFile } from "./golden-file.js";

/** Constructor arguments under their published names. */
export interface PublishedConfig {
  readonly cls: string;
  readonly model_type: string;
  readonly img_resolution: number;
  readonly img_channels: number;
  readonly label_dim?: number;
  readonly augment_dim?: number;
  readonly model_channels?: number;
  readonly channel_mult?: number[];
  readonly channel_mult_emb?: number;
  readonly num_blocks?: number;
  readonly attn_resolutions?: number[];
  readonly dropout?: number;
  readonly embedding_type?: "positional" | "fourier";
  readonly encoder_type?: "standard" | "skip" | "residual";
  readonly decoder_type?: "standard" | "skip";
  readonly channel_mult_noise?: number;
  readonly resample_filter?: number[];
  readonly sigma_data?: number;
}

const OUTPUT_TOLERANCE = 1e-5;
const FLOAT64_TOLERANCE = 1e-10;
const GRADIENT_TOLERANCE = 1e-4;

function preconditioningOf({ cls, sigma_data }: PublishedConfig): Preconditioning {
  switch (cls) {
    case "EDMPrecond":
      return edmPreconditioning(sigma_data === undefined ? {} : { sigmaData: sigma_data });
    case "VPPrecond":
      return vpPreconditioning();
    case "VEPrecond":
      return vePreconditioning();
    case "iDDPMPrecond":
      return iddpmPreconditioning();
    default:
      throw new Error(`the preconditioning ${cls} is unknown`);
  }
}

/** Leaves out what is undefined, so that defaults apply. */
const given = <T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };

/** The network that a configuration describes, in evaluation mode, with fresh weights. */
export function denoiserFrom(config: PublishedConfig): Denoiser {
  const shared = {
    resolution: config.img_resolution,
    inChannels: config.img_channels,
    outChannels: config.cls === "iDDPMPrecond" ? 2 * config.img_channels : config.img_channels,
    ...given({
      labelDim: config.label_dim,
      augmentDim: config.augment_dim,
      modelChannels: config.model_channels,
      channelMult: config.channel_mult,
      channelMultEmb: config.channel_mult_emb,
      numBlocks: config.num_blocks,
      attnResolutions: config.attn_resolutions,
      dropout: config.dropout,
    }),
  };
  const network =
    config.model_type === "DhariwalUNet"
      ? new DhariwalUNet(shared)
      : new SongUNet({
          ...shared,
          ...given({
            embeddingType: config.embedding_type,
            encoderType: config.encoder_type,
            decoderType: config.decoder_type,
            channelMultNoise: config.channel_mult_noise,
            resampleFilter: config.resample_filter,
          }),
        });
  return new Denoiser(network, preconditioningOf(config)).eval();
}

/** The network of a file, with the weights of the file. */
export function denoiserOf(file: GoldenFile): Denoiser {
  const denoiser = denoiserFrom(file.metadata<PublishedConfig>("config"));
  const names = file.names.filter((name) => name === "u" || name.startsWith("model."));
  denoiser.loadStateDict(new Map(names.map((name) => [name, file.tensor(name)])));
  return denoiser;
}

export function checkNetwork(file: GoldenFile): void {
  const denoiser = denoiserOf(file);
  const x = file.tensor("x");
  const sigma = file.numbers("sigma");
  const conditions = (double: boolean): { labels?: Tensor; augmentLabels?: Tensor } => {
    const cast = (name: string): Tensor => (double ? file.tensor(name).double() : file.tensor(name));
    return {
      ...(file.has("class_labels") && { labels: cast("class_labels") }),
      ...(file.has("augment_labels") && { augmentLabels: cast("augment_labels") }),
    };
  };
  scope(() => {
    const output = denoiser.forward(x, sigma, conditions(false));
    file.compare("output", output, file.tensor("D"), OUTPUT_TOLERANCE);
    const exact = denoiser.forward(x.double(), sigma, conditions(true));
    file.compare("output in float64", exact, file.tensor("D_float64"), FLOAT64_TOLERANCE);
    for (const name of ["D_no_augment", "D_no_class"].filter((name) => file.has(name))) {
      file.compare(name, denoiser.forward(x, sigma), file.tensor(name), OUTPUT_TOLERANCE);
    }
    checkGradients(file, denoiser, (leaf) => denoiser.forward(leaf, sigma, conditions(false)));
  });
  checkTables(file, denoiser.preconditioning);
  denoiser.dispose();
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

function checkTables(file: GoldenFile, preconditioning: Preconditioning): void {
  if (file.has("sigma_range")) {
    const { sigmaMin, sigmaMax } = preconditioning;
    file.compare("range of noise levels", [sigmaMin, sigmaMax], file.numbers("sigma_range"), 1e-6);
  }
  if (preconditioning.levels) checkLevels(file, preconditioning.levels);
  else if (file.has("grid.round_sigma")) {
    // Every level is known, so none is rounded.
    file.compare("levels stay", file.numbers("grid.sigma"), file.numbers("grid.round_sigma"), 1e-12);
  }
  if (file.has("grid.sigma_of_t")) checkTimes(file);
}

function checkLevels(file: GoldenFile, levels: Float64Array): void {
  file.compareAbsolute("stored noise levels", levels, file.numbers("u"), 0);
  const own = iddpmPreconditioning().levels as Float64Array;
  const deviations = own.map((level, i) => level / ((file.numbers("u")[i] as number) || 1) - (levels[i] ? 1 : 0));
  // The last bit of a sine, in which libraries differ, moves the smallest levels by so much.
  file.compareAbsolute("own noise levels", deviations, new Float64Array(own.length), 5e-4);
  const sigma = file.numbers("grid.sigma");
  const indices = Array.from(sigma, (level) => nearestLevel(levels, level));
  file.compareAbsolute("nearest levels", indices, file.numbers("grid.exact_index"), 0);
  // Where the published search lost precision, it may find the neighbour: half a step off at most.
  const published = file.numbers("grid.round_index");
  const distance = (index: number, i: number): number => Math.abs((levels[index] as number) - (sigma[i] as number));
  const worse = indices.map((index, i) => distance(index, i) - distance(published[i] as number, i));
  file.compareAbsolute("no published level is nearer", [Math.max(0, ...worse)], [0], 1e-6);
  for (const name of ["grid.round_sigma", "grid.round_sigma_one_at_a_time"]) {
    const rounded = file.numbers(name);
    const deviations = indices.map((index, i) => {
      const [ours, theirs] = [levels[index] as number, rounded[i] as number];
      return Math.abs(distance(index, i) - Math.abs(theirs - (sigma[i] as number))) / Math.max(ours, 1e-3);
    });
    file.compareAbsolute(`${name}: as near`, [Math.max(...deviations)], [0], 2e-3);
  }
  const steps = levels.length - 1;
  const alphaBar = Array.from({ length: 21 }, (_, k) => Math.sin((0.5 * Math.PI * k) / 20 / 1.008) ** 2);
  file.compare(`alpha bar at every ${steps / 20}th step`, alphaBar, file.numbers("alpha_bar_every_50"), 1e-6);
}

function checkTimes(file: GoldenFile): void {
  const process = vpProcess();
  const relative = (what: string, found: ArrayLike<number>, expected: Float64Array, tolerance: number): void => {
    const deviations = Array.from(expected, (value, i) => ((found[i] as number) - value) / (Math.abs(value) || 1));
    file.compareAbsolute(what, deviations, new Float64Array(expected.length), tolerance);
  };
  const times = file.numbers("grid.t");
  relative("sigma(t)", times.map(process.sigma), file.numbers("grid.sigma_of_t"), 1e-6);
  const levels = file.numbers("grid.sigma");
  const inverse = file.numbers("grid.sigma_inv");
  file.compareAbsolute("t(sigma)", levels.map(process.sigmaInverse), inverse, 1e-9);
  // In float32 the published sqrt(exp(B) - 1) loses what is small against 1 before the root is taken.
  const squares = file.numbers("grid.t32").map((t) => process.sigma(t) ** 2);
  const published = file.numbers("grid.sigma_of_t32").map((level) => level ** 2);
  const errors = squares.map((square, i) => (square - (published[i] as number)) / (1 + square));
  file.compareAbsolute("sigma(t)² in float32, against 1 + sigma²", errors, new Float64Array(errors.length), 4e-6);
  const inverse32 = file.numbers("grid.sigma_inv32");
  const levels32 = file.numbers("grid.sigma32");
  file.compareAbsolute("t(sigma) in float32", levels32.map(process.sigmaInverse), inverse32, 1e-5);
}

/** Constructor arguments of a single block. */
interface PublishedBlock {
  readonly in_channels: number;
  readonly out_channels: number;
  readonly emb_channels: number;
  readonly up?: boolean;
  readonly down?: boolean;
  readonly heads: number;
  readonly skip_scale?: number;
  readonly eps?: number;
  readonly resample_filter?: number[];
  readonly resample_proj?: boolean;
  readonly adaptive_scale?: boolean;
}

/** The weights come from the file. */
const initializers = { main: zeros, mainBias: zeros, branchEnd: zeros, branchEndBias: zeros, attention: zeros };

export function checkBlocks(file: GoldenFile): void {
  for (const [name, config] of Object.entries(file.metadata<Record<string, PublishedBlock>>("config"))) {
    const { up = false, down = false, heads } = config;
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
      { resampling: up ? "up" : down ? "down" : undefined, heads },
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
