/** From what a file says about its network to a configuration that can be built here. */

import type { PickleValue } from "@stf/torch";
import { type Architecture, architectures } from "../networks/architectures.js";
import type { NetworkConfig } from "../networks/build.js";
import { InputError, UsageError } from "../run/errors.js";
import type { NetworkFacts } from "./shapes.js";
import { type Construction, describe } from "./stored-network.js";

export interface ConfigOverrides {
  readonly arch?: Architecture | undefined;
  readonly precond?: NetworkConfig["precond"] | undefined;
}

/** The preconditionings of the published wrapper classes. */
const wrappers: Readonly<Record<string, string>> = {
  EDMPrecond: "edm",
  VPPrecond: "vp",
  VEPrecond: "ve",
  iDDPMPrecond: "iddpm",
};

export const preconditionings = ["edm"] as const satisfies readonly NetworkConfig["precond"][];

/** The published architectures by what tells them apart (Karras et al. 2022, table 1 and appendix F). */
const families: readonly (Partial<NetworkFacts> & { readonly name: string })[] = [
  { name: "ddpmpp", family: "SongUNet", embeddingType: "positional", encoderType: "standard", channelMultNoise: 1 },
  { name: "ncsnpp", family: "SongUNet", embeddingType: "fourier", encoderType: "residual", channelMultNoise: 2 },
  { name: "adm", family: "DhariwalUNet", embeddingType: "positional", channelMultNoise: 1 },
];

const filterLengths: Readonly<Record<string, number>> = { ddpmpp: 2, ncsnpp: 4, adm: 2 };

function recognised(facts: NetworkFacts): string {
  const found = families.find(
    ({ name, ...wanted }) =>
      Object.entries(wanted).every(([key, value]) => facts[key as keyof NetworkFacts] === value) &&
      (facts.filterLength ?? filterLengths[name]) === filterLengths[name] &&
      facts.decoderType === "standard" &&
      facts.channelMultEmb === 4,
  );
  if (found) return found.name;
  const traits = [
    facts.family,
    `${facts.embeddingType} embedding`,
    `${facts.encoderType} encoder`,
    `${facts.decoderType} decoder`,
    `noise embedding times ${facts.channelMultNoise}`,
    `embedding times ${facts.channelMultEmb}`,
    ...(facts.filterLength === undefined ? [] : [`filter of ${facts.filterLength}`]),
  ];
  throw new InputError(`its network is none of ${families.map(({ name }) => name).join(", ")}: ${traits.join(", ")}`);
}

function oneOf<T extends string>(known: readonly T[], found: string, what: string): T {
  const match = known.find((name) => name === found);
  if (match) return match;
  throw new InputError(`its ${what} is ${found}, and networks can be built here with ${known.join(", ")}`);
}

/** An argument of the constructor: by name, or by its place. */
function argument({ values, keywords }: Construction, name: string, place?: number): PickleValue | undefined {
  return keywords.get(name) ?? (place === undefined ? undefined : values[place]);
}

/** A value as text to compare: lists of numbers with commas between, everything else than that in a few words. */
function asText(value: unknown): string {
  if (Array.isArray(value) && value.every((element) => typeof element === "number"))
    return value.join(",").slice(0, 80);
  return describe(value as PickleValue);
}

/** @throws InputError when the file contradicts itself */
function checkAgreement(construction: Construction, facts: NetworkFacts): void {
  const claims: [string, PickleValue | undefined, unknown][] = [
    ["img_resolution", argument(construction, "img_resolution", 0), facts.resolution],
    ["img_channels", argument(construction, "img_channels", 1), facts.inChannels],
    ["label_dim", argument(construction, "label_dim", 2), facts.labelDim],
    ["model_channels", argument(construction, "model_channels"), facts.modelChannels],
    ["channel_mult", argument(construction, "channel_mult"), facts.channelMult],
    ["num_blocks", argument(construction, "num_blocks"), facts.numBlocks],
    ["augment_dim", argument(construction, "augment_dim"), facts.augmentDim],
    ["model_type", argument(construction, "model_type"), facts.family],
  ];
  for (const [name, claimed, found] of claims) {
    if (claimed !== undefined && asText(claimed) !== asText(found)) {
      throw new InputError(
        `it says ${name} = ${asText(claimed)}, but its tensors have ${asText(found)}; the file is damaged`,
      );
    }
  }
}

/** @throws InputError when a snapshot of this program describes another network than its tensors make up */
export function checkDescription(config: NetworkConfig, facts: NetworkFacts): void {
  const described = [
    config.shape?.height,
    config.shape?.channels,
    config.modelChannels,
    config.channelMult,
    config.numBlocks,
  ];
  const found = [facts.resolution, facts.inChannels, facts.modelChannels, facts.channelMult, facts.numBlocks];
  if (JSON.stringify(described) !== JSON.stringify(found)) {
    throw new InputError("its description of the network does not fit its tensors; the file is damaged");
  }
}

function preconditioningOf(construction: Construction | undefined, facts: NetworkFacts): string | undefined {
  const named = construction && wrappers[construction.className];
  if (named) return named;
  return facts.outChannels === 2 * facts.inChannels ? "iddpm" : undefined;
}

const isResolutions = (value: PickleValue | undefined): value is number[] =>
  Array.isArray(value) && value.every((size) => Number.isSafeInteger(size));

/**
 * The configuration of a network in a file. Sizes come from its tensors; the preconditioning, the dropout and the like from
 * its constructor's arguments, where it has them.
 *
 * @throws InputError for networks that cannot be built here; UsageError when only an option can tell what the file does not
 */
export function configOf(
  facts: NetworkFacts,
  construction: Construction | undefined,
  { arch, precond }: ConfigOverrides = {},
): NetworkConfig {
  if (construction) checkAgreement(construction, facts);
  const foundPrecond = precond ?? preconditioningOf(construction, facts);
  const foundArch = oneOf(architectures, arch ?? recognised(facts), "architecture");
  if (foundPrecond === undefined) {
    throw new UsageError(
      `--precond must say how the network was preconditioned (${preconditionings.join(", ")}): the file does not, and with a wrong one its pictures are noise`,
    );
  }
  const sigmaData = construction && argument(construction, "sigma_data");
  if (sigmaData !== undefined && sigmaData !== 0.5) {
    throw new InputError(`its sigma_data is ${asText(sigmaData)}, and networks are built here with 0.5`);
  }
  const dropout = construction && argument(construction, "dropout");
  // The published constructors' own default; a dictionary of tensors says nothing, and drawing needs none.
  const defaultDropout = construction ? 0.1 : 0;
  const attention = construction && argument(construction, "attn_resolutions");
  return {
    arch: foundArch,
    precond: oneOf(preconditionings, foundPrecond, "preconditioning"),
    shape: { channels: facts.inChannels, height: facts.resolution, width: facts.resolution },
    modelChannels: facts.modelChannels,
    channelMult: facts.channelMult,
    numBlocks: facts.numBlocks,
    attnResolutions: isResolutions(attention) ? attention : facts.attnResolutions,
    dropout: typeof dropout === "number" && dropout >= 0 && dropout <= 1 ? dropout : defaultDropout,
    labelDim: facts.labelDim,
  };
}
