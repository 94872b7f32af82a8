/** From a file's description of its network to a configuration that can be built here. */

import type { PickleValue } from "@stf/torch";
import { InputError, UsageError } from "../../common/errors.js";
import type { Architecture } from "../../networks/architectures.js";
import type { NetworkConfig } from "../../networks/build.js";
import { type Constants, storedConstants } from "../../preconditioning/constants.js";
import type { Preconditioning } from "../../preconditioning/preconditioning.js";
import {
  type NamedPreconditioning,
  type PreconditioningName,
  preconditioningNames,
  preconditioningOf,
} from "../../preconditioning/table.js";
import type { Checkpoint } from "./read.js";
import type { NetworkFacts } from "./shapes.js";
import { type Construction, describe, type StoredLoss } from "./stored-network.js";
import { publishedPreconditioning } from "./wrappers.js";

/** The architectures of the published networks. */
const published = ["ddpmpp", "ncsnpp", "adm"] as const satisfies readonly Architecture[];

/** Facts about a network from sources other than its file. */
export interface ConfigOverrides {
  /** The network family, overriding the file. */
  readonly arch?: Architecture | undefined;
  /** The preconditioning, which a plain dictionary of tensors does not contain. */
  readonly precond?: PreconditioningName | undefined;
  /** The preconditioning if neither that nor the file specifies one. */
  readonly assumed?: PreconditioningName | undefined;
  /** Its constants then; the published ones when left out. */
  readonly assumedConstants?: Constants | undefined;
}

/** The published architectures by their distinguishing features (Karras et al. 2022, table 1 and appendix F). */
const families: readonly (Partial<NetworkFacts> & { readonly name: (typeof published)[number] })[] = [
  { name: "ddpmpp", family: "SongUNet", embeddingType: "positional", encoderType: "standard", channelMultNoise: 1 },
  { name: "ncsnpp", family: "SongUNet", embeddingType: "fourier", encoderType: "residual", channelMultNoise: 2 },
  { name: "adm", family: "DhariwalUNet", embeddingType: "positional", channelMultNoise: 1 },
];

const filterLengths: Readonly<Record<(typeof published)[number], number>> = { ddpmpp: 2, ncsnpp: 4, adm: 2 };

function recognised(facts: NetworkFacts): Architecture {
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
    `noise embedding multiplier ${facts.channelMultNoise}`,
    `embedding multiplier ${facts.channelMultEmb}`,
    ...(facts.filterLength === undefined ? [] : [`filter of ${facts.filterLength}`]),
  ];
  throw new InputError(`its network is none of ${families.map(({ name }) => name).join(", ")}: ${traits.join(", ")}`);
}

/** An argument of the constructor: by name or position. */
function argument({ values, keywords }: Construction, name: string, place?: number): PickleValue | undefined {
  return keywords.get(name) ?? (place === undefined ? undefined : values[place]);
}

/** A value as text for comparison: lists of numbers separated by commas, anything else in a few words. */
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

/** What a file says about a network besides its tensors. */
type Described = Pick<Checkpoint, "construction" | "loss">;

/**
 * The preconditioning of a known class, with the constants of its constructor or its defaults, and the noise levels of the loss
 * beside it, if these can be trained on.
 */
function constructedPreconditioning({ construction, loss }: Described): NamedPreconditioning | undefined {
  if (!construction) return undefined;
  const { className, attributes, keywords } = construction;
  const given = [...attributes, ...keywords].map(([name, value]) => [String(name), value]);
  const found = publishedPreconditioning(className, Object.fromEntries(given));
  const levels = found?.name === "edm" ? trainedLevels(loss) : {};
  try {
    return found && preconditioningOf(found.name, { ...found.constants, ...levels });
  } catch (error) {
    // Drawing does not depend on them.
    if (!(error instanceof UsageError)) throw error;
    return found;
  }
}

/** The constants in EDM's loss. */
function trainedLevels(loss: StoredLoss | undefined): Constants {
  if (loss?.className !== "EDMLoss") return {};
  const [pMean, pStd] = [loss.attributes.get("P_mean"), loss.attributes.get("P_std")];
  return typeof pMean === "number" && typeof pStd === "number" ? { pMean, pStd } : {};
}

/** The only preconditioning whose network has more output channels than the images. */
function nameByChannels({ inChannels, outChannels }: NetworkFacts): PreconditioningName | undefined {
  if (outChannels === inChannels) return undefined;
  return preconditioningNames.find((name) => preconditioningOf(name).outputChannels(inChannels) === outChannels);
}

/** @throws InputError when the file contradicts itself; UsageError when an option must supply what the file lacks */
function preconditioningFor(
  facts: NetworkFacts,
  described: Described,
  { precond, assumed, assumedConstants }: ConfigOverrides,
): NamedPreconditioning {
  const { timeSteps } = facts;
  const constructed = constructedPreconditioning(described);
  const name = precond ?? constructed?.name ?? nameByChannels(facts) ?? assumed;
  if (name === undefined) {
    throw new UsageError(
      `'precond' must say how the network was preconditioned (${preconditioningNames.join(", ")}): the file does not, and with a wrong one it draws noise`,
    );
  }
  const constants = name === assumed ? assumedConstants : undefined;
  const found = constructed?.name === name ? constructed : preconditioningOf(name, constants);
  if (!found.levels || timeSteps === undefined || timeSteps === found.constants["timeSteps"]) return found;
  if (found === constructed) {
    throw new InputError(
      `its M must be the ${timeSteps} steps between its noise levels, found ${found.constants["timeSteps"]}; the file is damaged`,
    );
  }
  return preconditioningOf(name, { ...found.constants, timeSteps });
}

/** The preconditioning named in a checkpoint, if any. */
export function namedPreconditioning({
  preconditioning,
  ...described
}: Described & Pick<Checkpoint, "preconditioning">): Preconditioning | undefined {
  return preconditioning ?? constructedPreconditioning(described);
}

const isResolutions = (value: PickleValue | undefined): value is number[] =>
  Array.isArray(value) && value.every((size) => Number.isSafeInteger(size));

/**
 * The configuration of a network in a file. Sizes come from its tensors; the preconditioning, the dropout and the like from
 * its constructor's arguments, if it has them.
 *
 * @throws InputError for networks that cannot be built here; UsageError when an option must supply what the file lacks
 */
export function configOf(facts: NetworkFacts, described: Described, overrides: ConfigOverrides = {}): NetworkConfig {
  const { construction } = described;
  if (construction) checkAgreement(construction, facts);
  const foundArch = overrides.arch ?? recognised(facts);
  const preconditioning = preconditioningFor(facts, described, overrides);
  const dropout = construction && argument(construction, "dropout");
  // The default of the published constructors; a dictionary of tensors has no value, and drawing needs none.
  const defaultDropout = construction ? 0.1 : 0;
  const attention = construction && argument(construction, "attn_resolutions");
  return {
    arch: foundArch,
    precond: preconditioning.name,
    constants: storedConstants(preconditioning.constants),
    shape: { channels: facts.inChannels, height: facts.resolution, width: facts.resolution },
    modelChannels: facts.modelChannels,
    channelMult: facts.channelMult,
    numBlocks: facts.numBlocks,
    attnResolutions: isResolutions(attention) ? attention : facts.attnResolutions,
    dropout: typeof dropout === "number" && dropout >= 0 && dropout < 1 ? dropout : defaultDropout,
    labelDim: facts.labelDim,
    augmentDim: facts.augmentDim,
  };
}
