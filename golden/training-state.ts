/** Training states: a network with the state of its optimizer. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Adam, type AdamOptions, ExponentialMovingAverage, FlatParameters, noGrad, scope } from "@stf/torch";
import { disposeState, initialStability, loadState, type NetworkConfig, saveState, type TrainingState } from "stf";
import { compareStep, momentOf, momentsOf, type PublishedGroup, stepCountOf } from "./adam.js";
import type { GoldenFile } from "./golden-file.js";
import { configOf, denoiserFrom, isDhariwal, type PublishedConfig, preconditioningOf } from "./published-network.js";

export const isTrainingState = (file: GoldenFile): boolean => file.names.some((name) => name.startsWith("adam."));

/** A new state of the network that a configuration describes. */
export function stateFrom(config: PublishedConfig, options: AdamOptions = {}): TrainingState {
  const [network, averaged] = [denoiserFrom(config), denoiserFrom(config)];
  const parameters = new FlatParameters(network);
  const ema = new ExponentialMovingAverage(parameters, new FlatParameters(averaged, { trainable: false }));
  return {
    network,
    averaged,
    parameters,
    ema,
    optimizer: new Adam(parameters, options),
    stability: initialStability("fp32"),
    images: 0,
  };
}

function fill(state: TrainingState, file: GoldenFile, order: readonly string[]): void {
  state.network.loadStateDict(file.under("net."));
  for (const [kind, views] of Object.entries(momentsOf(state))) {
    for (const [name, view] of views) {
      const moment = momentOf(file, name, kind);
      if (moment) noGrad(() => void view.copy_(moment));
    }
  }
  state.optimizer.stepCount = stepCountOf(file, order);
}

/** What a checkpoint says about the network. Reading a state back does not need it. */
function describedBy(config: PublishedConfig): NetworkConfig {
  const { img_resolution: size, img_channels: channels } = config;
  return {
    arch: isDhariwal(config) ? "adm" : config.embedding_type === "fourier" ? "ncsnpp" : "ddpmpp",
    precond: preconditioningOf(config).name,
    shape: { channels, height: size, width: size },
    modelChannels: config.model_channels ?? 0,
    channelMult: config.channel_mult ?? [],
    numBlocks: config.num_blocks ?? 0,
    attnResolutions: config.attn_resolutions ?? [],
    dropout: config.dropout ?? 0,
    labelDim: config.label_dim ?? 0,
    augmentDim: config.augment_dim ?? 0,
  };
}

/** Saved in this program's own format and loaded into another state. */
function throughFile(state: TrainingState, fresh: TrainingState, config: PublishedConfig): void {
  const folder = mkdtempSync(join(tmpdir(), "stf-golden-"));
  try {
    const path = join(folder, "state.safetensors");
    saveState(path, state, describedBy(config), {});
    loadState(path).restore(fresh);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** A state of ours must hold everything as in the file, and a step from there must be a step of Adam. */
export function checkTrainingState(file: GoldenFile): void {
  const config = configOf(file);
  const order = file.metadata<string[]>("param_order");
  const [filled, restored] = [stateFrom(config), stateFrom(config)];
  fill(filled, file, order);
  const strange = file.unread.find((name) => name.startsWith("adam."));
  if (strange !== undefined) throw new Error(`its "${strange}" must belong to a parameter of the network; none has it`);
  throughFile(filled, restored, config);
  disposeState(filled);
  scope(() => compareState(file, restored, order));
  disposeState(restored);
  for (const group of file.metadata<PublishedGroup[]>("param_groups")) {
    const state = stateFrom(config, { betas: group.betas, eps: group.eps });
    fill(state, file, order);
    scope(() =>
      compareStep(
        file,
        state,
        group,
        group.params.map((number) => order[number] as string),
      ),
    );
    disposeState(state);
  }
}

function compareState(file: GoldenFile, state: TrainingState, order: readonly string[]): void {
  const names = Array.from(state.network.namedParameters(), ([name]) => name);
  const places = order.map((name) => names.indexOf(name));
  file.compareAbsolute("order of the parameters", places, Array.from(names.keys()), 0);
  for (const [name, value] of state.network.stateDict()) {
    file.compareAbsolute(`net.${name}`, value, file.tensor(`net.${name}`), 0);
  }
  for (const [kind, views] of Object.entries(momentsOf(state))) {
    for (const [name, view] of views) {
      file.compareAbsolute(`${kind} of ${name}`, view, momentOf(file, name, kind) ?? view.zerosLike(), 0);
    }
  }
  file.compareAbsolute("steps", [state.optimizer.stepCount], [stepCountOf(file, order)], 0);
}
