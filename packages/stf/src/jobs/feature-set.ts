/** Sets of images with their features in memory, brought together from all processes. */

import { createHash } from "node:crypto";
import { empty, noGrad, scope, type Tensor } from "@stf/torch";
import type { ImageShape } from "../common/image-shape.js";
import { partOf } from "../common/ranks.js";
import { formatDuration } from "../common/text.js";
import type { FeatureNetwork } from "../features/feature-network.js";
import type { Facts } from "../run/protocol.js";
import { checkStop, type JobContext } from "./context.js";
import type { Exchange } from "./exchange.js";
import type { ImageSource } from "./image-source.js";

/** Images with their features, on the CPU. */
export interface FeatureSet {
  readonly shape: ImageShape;
  /** uint8 `[N, D]` */
  readonly pixels: Tensor;
  /** float32 `[N, d]`; undefined without a feature network. */
  readonly features: Tensor | undefined;
  /** float32 `[N, classes]`; undefined without a feature network, or if it has no classes. */
  readonly logits: Tensor | undefined;
  dispose(): void;
}

/** The feature network, as a protocol has it. */
export function featureFacts({ name, sha256, dimension, resize }: FeatureNetwork): Facts {
  return { name, sha256, dimension, resize };
}

/** What decides the images of a source: not their paths, which differ between machines. */
function factsOf({ protocol: { subject, method } }: ImageSource): readonly object[] {
  const { network, images, ...others } = subject;
  return [others, method];
}

/** Options of {@link collect}. */
export interface CollectOptions {
  /** None: only pixels are collected. */
  readonly network: FeatureNetwork | undefined;
  /** Images at a time. */
  readonly batch: number;
  /** What is done, for the line of progress: "features of the reference". */
  readonly title: string;
  readonly exchange: Exchange;
  readonly context: JobContext;
}

/**
 * All images of a source with their features. Of several processes each computes a part, and the first gets the whole.
 *
 * @returns undefined in the other processes
 * @throws Stopped when the job is to stop; InputError when the network cannot describe such images
 */
export async function collect(source: ImageSource, options: CollectOptions): Promise<FeatureSet | undefined> {
  const { network, exchange, context, title, batch } = options;
  const { channels, height, width } = source.shape;
  const { first, end } = partOf(source.count, context.rank);
  const own = new Map([["pixels", empty([end - first, channels * height * width], { dtype: "uint8" })]]);
  if (network) own.set("features", empty([end - first, network.dimension]));
  if (network && network.classes > 0) own.set("logits", empty([end - first, network.classes]));
  const start = context.now();
  let done = 0;
  try {
    for (const images of source.batches(batch)) {
      checkStop(context);
      const rows = images.size(0);
      scope(() => {
        const put = (name: string, values: Tensor): void => {
          own.get(name)?.narrow(0, done, rows).copy_(values.flatten(1));
        };
        put("pixels", images);
        const found = network && noGrad(() => network.extract(images.to({ device: network.device })));
        if (found) put("features", found.features);
        if (found?.logits) put("logits", found.logits);
      });
      done += rows;
      const seconds = context.now() - start;
      const left = formatDuration((seconds / done) * (end - first - done));
      context.reporter.update(
        `${title}: ${done} of ${end - first}  ${(done / seconds).toFixed(1)} images/s  ${left} left`,
      );
      // Signals and timers get their turn.
      await new Promise(setImmediate);
    }
    const key = createHash("sha256")
      .update(JSON.stringify([factsOf(source), network && featureFacts(network), context.rank.size]))
      .digest("hex");
    const whole = await exchange.gather(key, own);
    if (!whole) return undefined;
    const [pixels, features, logits] = ["pixels", "features", "logits"].map((name) => whole.get(name));
    return {
      shape: source.shape,
      pixels: pixels as Tensor,
      features,
      logits,
      dispose: () => {
        for (const tensor of whole.values()) tensor.dispose();
      },
    };
  } catch (error) {
    for (const tensor of own.values()) tensor.dispose();
    throw error;
  }
}
