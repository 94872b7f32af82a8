/** Giving a network an analytic denoiser as a job: from a snapshot and its images to a snapshot with both. */

import type { HandOver } from "../analytic/hand-over.js";
import { loadSnapshot, type Snapshot, saveNetwork } from "../checkpoints/network-file.js";
import { InputError } from "../common/errors.js";
import { makeFolderFor } from "../common/folders.js";
import { formatImageShape } from "../common/image-shape.js";
import { checkAlone } from "../common/ranks.js";
import { usualComponents } from "../config/analytic-options.js";
import { type AnalyticRequest, analyticOptions, type ResolvedAnalytic } from "../config/analytic-request.js";
import { snapshotDest } from "../config/snapshot-dest.js";
import { movedTo } from "../data/image-bank.js";
import { openDataset } from "../data/open.js";
import { compareWithNetwork, describeHandOver, fitAnalytic } from "./analytic-fit.js";
import { type JobContext, jobContext } from "./context.js";
import { checkDevice } from "./device.js";
import { type TrainingImages, withHeldOut } from "./held-out.js";
import { withinMemory } from "./memory.js";
import { classNamesOf } from "./network-classes.js";
import { writeOrRescue } from "./rescue.js";
import { latestSnapshot } from "./snapshots.js";

/** The result of {@link attachAnalytic}. */
export interface AnalyticResult {
  /** Path of the network snapshot. Another than asked for, if that could not be written. */
  readonly dest: string;
  /** Where the analytic denoiser takes over, and the comparison. */
  readonly handOver: HandOver;
  /** The same in one line. */
  readonly description: string;
  /** What could not be written to its path, in one line. */
  readonly problem?: string;
}

/** The images to fit and to compare on, on the device of the network. */
async function openImages(request: ResolvedAnalytic, snapshot: Snapshot, context: JobContext): Promise<TrainingImages> {
  const { denoiser, config } = snapshot;
  const { data, heldOut, device } = request;
  const { reporter } = context;
  const cond = denoiser.labelDim > 0;
  const notes: string[] = [];
  const bank = await openDataset(data, {
    labels: cond,
    numbering: classNamesOf(snapshot) ?? "text",
    onNote: (line) => void notes.push(line),
    onProgress: (done, total) => reporter.update(`reading ${data}: ${done} of ${total} images`),
  });
  reporter.clear();
  const [found, wanted] = [formatImageShape(bank.shape), formatImageShape(config.shape)];
  const stranger = cond && (bank.labels ? bank.labels.find((label) => label >= denoiser.labelDim) : -1);
  if (found !== wanted || typeof stranger === "number") {
    bank.dispose();
    const classes = `class labels from 0 to ${denoiser.labelDim - 1}, found ${stranger === -1 ? "none" : stranger}`;
    throw new InputError(
      `${data} must hold images ${found === wanted ? `with ${classes}` : `of ${wanted} like the network's, found ${found}`}`,
    );
  }
  const parts = await withHeldOut(bank, { heldOut, cond }, notes, context);
  for (const note of notes) reporter.print(`note: ${note}`);
  return { images: movedTo(parts.images, device), heldOut: parts.heldOut && movedTo(parts.heldOut, device) };
}

/**
 * Fits a mixture of Gaussians to the images of a network, finds the noise level above which it predicts images better, and writes a
 * snapshot with both, which replaces one that the network had before.
 *
 *     await attachAnalytic({ network: "edm.safetensors", data: "cifar10.zip", dest: "edm-analytic.safetensors" });
 *
 * @throws UsageError for a request that is not possible; InputError and FileFormatError for files that cannot be used; Stopped when the
 * job is to stop
 */
export async function attachAnalytic(
  request: AnalyticRequest,
  context: JobContext = jobContext(),
): Promise<AnalyticResult> {
  const options = analyticOptions(request);
  const { num, dest, device } = options;
  checkAlone("analytic", context.rank);
  checkDevice(device);
  const { path, notes } = latestSnapshot(options.network);
  snapshotDest(dest, { path, name: "the network snapshot" });
  for (const note of notes) context.reporter.print(`note: ${note}`);
  const snapshot = loadSnapshot(path, { device });
  try {
    const { images, heldOut } = await openImages(options, snapshot, context);
    try {
      const { denoiser: network, config, about } = snapshot;
      const cond = network.labelDim > 0;
      makeFolderFor(dest, "dest");
      if (!heldOut) {
        context.reporter.print(
          "note: a network is compared on images of 'data'; if it was trained on them, it looks better than it is, and less of it is replaced. 'heldOut' names others",
        );
      }
      const components = options.components ?? usualComponents(images.shape);
      const fitted = await withinMemory(
        () => "lower 'components'",
        () => fitAnalytic(images, network, { components, cond, heldOut }, context),
      );
      try {
        const handOver = compareWithNetwork(network, fitted, num, context);
        const analytic = { denoiser: fitted.denoiser, handOver };
        const { path: written, problem } = await writeOrRescue(dest, (place) =>
          saveNetwork(place, network, config, about, { analytic }),
        );
        const description = describeHandOver(analytic);
        return { dest: written, handOver, description, ...(problem !== undefined && { problem }) };
      } finally {
        fitted.denoiser.dispose();
        fitted.others.dispose();
      }
    } finally {
      images.dispose();
      heldOut?.dispose();
    }
  } finally {
    snapshot.dispose();
  }
}
