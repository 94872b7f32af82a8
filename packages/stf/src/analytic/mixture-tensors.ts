/** Mixtures as named tensors, for files: those of all images begin with "all.", those of class 3 with "class3.". */

import { cat, linalgQr, scope, type Tensor, tensor } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { formatImageShape } from "../common/image-shape.js";
import { dimensionOf } from "./analytic-denoiser.js";
import { ClassMixtures } from "./class-mixtures.js";
import { LowRankMixture } from "./low-rank-mixture.js";

/** The tensors of a mixture, by name. */
const NAMES = ["shape", "sigmaFloor", "counts", "means", "directions", "variances", "rest"] as const;

/** The dtype in which directions are stored. */
export type DirectionsType = "float16" | "float32" | "float64";

const WHOLE = "all.";
const OF_CLASS = /^class(\d+)\./;

function storedTensors(mixture: LowRankMixture, prefix: string, directions: DirectionsType): [string, Tensor][] {
  const { shape, sigmaFloor, counts, ...parameters } = mixture.parameters;
  const dtype = directions === "float64" ? "float64" : "float32";
  const all = {
    shape: tensor(Int32Array.of(shape.channels, shape.height, shape.width)),
    sigmaFloor: tensor(Float64Array.of(sigmaFloor)),
    counts: tensor(counts),
    means: parameters.means.to({ device: "cpu", dtype, copy: true }),
    directions: parameters.directions.to({ device: "cpu", dtype: directions, copy: true }),
    variances: parameters.variances.to({ device: "cpu", dtype, copy: true }),
    rest: parameters.rest.to({ device: "cpu", dtype, copy: true }),
  } satisfies Record<(typeof NAMES)[number], Tensor>;
  return Object.entries(all).map(([name, value]) => [`${prefix}${name}`, value]);
}

/**
 * A mixture, or one for each class, as named tensors on the CPU: 2 K r D bytes and little more.
 *
 * @param directions - float16 when left out; it changes denoised images by 1e-4 of the range of values
 */
export function mixtureTensors(
  denoiser: LowRankMixture | ClassMixtures,
  directions: DirectionsType = "float16",
): Map<string, Tensor> {
  return scope(() => {
    if (denoiser instanceof LowRankMixture) return new Map(storedTensors(denoiser, WHOLE, directions));
    const classes = Array.from(denoiser.classes, ([label, mixture]) =>
      storedTensors(mixture, `class${label}.`, directions),
    );
    return new Map([...storedTensors(denoiser.whole, WHOLE, directions), ...classes.flat()]);
  });
}

/** Rows at right angles again after rounding; rows of zeros, of components with fewer directions, stay zeros. */
function straightened(directions: Tensor): Tensor {
  if (directions.numel === 0) return directions.clone();
  return scope(() => {
    const [vectors, triangle] = linalgQr(directions.double().transpose(1, 2));
    const signs = triangle.diagonal(0, 1, 2).sign();
    return vectors.mul(signs.unsqueeze(1)).transpose(1, 2).contiguous();
  });
}

/** One mixture, whose tensors have a prefix. */
function readMixture(tensors: ReadonlyMap<string, Tensor>, prefix: string): LowRankMixture {
  return scope(() => {
    const of = (name: (typeof NAMES)[number], sizes: readonly (number | null)[]): Tensor => {
      const found = tensors.get(`${prefix}${name}`);
      if (!found) throw new InputError(`a mixture of Gaussians has the tensor "${prefix}${name}", which is missing`);
      if (found.rank === sizes.length && sizes.every((size, axis) => size === null || size === found.shape[axis])) {
        return found;
      }
      throw new InputError(
        `the tensor "${prefix}${name}" of a mixture of Gaussians must have the sizes ${sizes.map((size) => size ?? "any").join(", ")}, found ${found.shape.join(", ")}`,
      );
    };
    const [channels = 0, height = 0, width = 0] = of("shape", [3]).toFloat64Array();
    const shape = { channels, height, width };
    const D = dimensionOf(shape);
    const counts = of("counts", [null]).toFloat64Array();
    const K = counts.length;
    const directions = of("directions", [K, null, D]);
    const variances = of("variances", [K, directions.size(1)]).double();
    const rest = of("rest", [K]).double();
    const sigmaFloor = of("sigmaFloor", [1]).item();
    const means = of("means", [K, D]).double();
    const positive = [tensor(counts), tensor(Float64Array.of(sigmaFloor, K))];
    const notNegative = [variances.flatten(), rest];
    const numbers = cat([...positive, ...notNegative, means.flatten(), directions.double().flatten()]);
    const fits = [cat(positive).gt(0), cat(notNegative).ge(0), numbers.isfinite()];
    if (!fits.every((each) => each.all().item())) {
      throw new InputError("the tensors of a mixture of Gaussians hold numbers that it cannot have; it is damaged");
    }
    return new LowRankMixture({
      shape,
      sigmaFloor,
      counts,
      means: means.clone(),
      directions: straightened(directions).to({
        dtype: directions.dtype === "float64" ? "float64" : "float32",
        copy: true,
      }),
      variances: variances.clone(),
      rest: rest.clone(),
    });
  });
}

/**
 * The denoiser of {@link mixtureTensors}, with tensors of its own on the CPU.
 *
 * @throws InputError when tensors are missing, have shapes that do not fit, or hold what no mixture has
 */
export function mixtureFromTensors(tensors: ReadonlyMap<string, Tensor>): LowRankMixture | ClassMixtures {
  const labels = new Set(
    Array.from(tensors.keys(), (name) => OF_CLASS.exec(name)?.[1]).filter((label) => label !== undefined),
  );
  const read: LowRankMixture[] = [];
  const next = (prefix: string): LowRankMixture => {
    const mixture = readMixture(tensors, prefix);
    read.push(mixture);
    const { shape } = read[0] as LowRankMixture;
    if (formatImageShape(shape) === formatImageShape(mixture.shape)) return mixture;
    throw new InputError(
      `mixtures by class must be of images of one shape, found ${formatImageShape(shape)} and ${formatImageShape(mixture.shape)}`,
    );
  };
  try {
    const whole = next(WHOLE);
    const classes = Array.from(labels, (label) => [Number(label), next(`class${label}.`)] as const);
    return labels.size === 0 ? whole : new ClassMixtures(whole, new Map(classes));
  } catch (error) {
    for (const mixture of read) mixture.dispose();
    throw error;
  }
}
