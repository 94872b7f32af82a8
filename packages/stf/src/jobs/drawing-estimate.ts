/** What drawing images would take, without drawing them. */

import { type GenerateRequest, generateOptions } from "../config/generate-request.js";
import { type JobContext, jobContext } from "./context.js";
import { describeDrawing, openDrawing } from "./drawing.js";
import { evaluationSeconds, evaluationsOf } from "./image-source.js";
import { withinMemory } from "./memory.js";

/** Expected time of a request to draw images. */
export interface DrawingEstimate {
  /** What would be drawn, and notes, line by line. */
  readonly description: readonly string[];
  /** Images requested. */
  readonly images: number;
  /** Network evaluations per image; NaN if the sampler chooses its steps. */
  readonly evaluations: number;
  /** Evaluations of the analytic denoiser per image, whose time is not counted; NaN if the sampler chooses its steps. */
  readonly analyticEvaluations: number;
  /** Seconds per image of a network evaluation, as measured with a batch. */
  readonly secondsPerEvaluation: number;
  /** Seconds for all images; NaN if the sampler chooses its steps. */
  readonly seconds: number;
}

/**
 * Checks a request as {@link generate} does, loads the networks, and measures two evaluations of a batch. Nothing is written.
 *
 * @throws UsageError for a request that is not possible; InputError and FileFormatError for files that cannot be used.
 */
export async function estimateDrawing(
  request: GenerateRequest,
  context: JobContext = jobContext(),
): Promise<DrawingEstimate> {
  const { now, rank } = context;
  const options = generateOptions(request, rank.size);
  const drawing = await openDrawing(options, rank);
  try {
    const images = options.seeds.length;
    const batch = Math.min(options.batch, images);
    const secondsPerEvaluation = await withinMemory(
      () => `lower 'batch' (it is ${options.batch})`,
      () => evaluationSeconds(drawing.snapshot.denoiser, batch, now),
    );
    const { network: evaluations, analytic: analyticEvaluations } = evaluationsOf(drawing);
    return {
      description: [describeDrawing(drawing), ...drawing.notes.map((note) => `note: ${note}`)],
      ...{ images, evaluations, analyticEvaluations, secondsPerEvaluation },
      seconds: images * evaluations * secondsPerEvaluation,
    };
  } finally {
    drawing.dispose();
  }
}
