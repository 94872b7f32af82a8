/** `stf dataset` on the command line. Errors in options are reported without loading libtorch. */

import type { Command } from "commander";
import { UsageError } from "../common/errors.js";
import { formatImageShape } from "../common/image-shape.js";
import { checkAlone } from "../common/ranks.js";
import { abbreviated, formatBytes, formatDuration } from "../common/text.js";
import { checkFields, convertFields } from "../config/dataset-options.js";
import { type CheckRequest, type ConvertRequest, checkOptions, convertOptions } from "../config/dataset-request.js";
import { type Fields, flagOf, parse } from "../config/fields.js";
import type { JobContext } from "../jobs/context.js";
import type { ConvertResult } from "../jobs/convert-dataset.js";
import { addFields, type Groups } from "./options.js";
import { beginWork } from "./output.js";
import { pasteable } from "./shell.js";

const groups: Groups<typeof convertFields & typeof checkFields> = {
  "Convert:": ["source", "dest", "maxImages", "labels", "skipUnreadable"],
  "Convert, the images:": ["resolution", "transform", "crop", "pad", "channels", "background"],
  "Check:": ["json", "near"],
  "Both:": ["split"],
};

/** The result, line by line. */
function described({ dest, count, shape, classCount, classNames, bytes, seconds }: ConvertResult): string[] {
  const names = classNames ? `: ${abbreviated(classNames)}` : "";
  const classes = classCount > 0 ? `, ${classCount} classes${names}` : ", no classes";
  const { width, height } = shape;
  const isPower = Number.isInteger(Math.log2(width));
  return [
    `wrote       ${dest}: ${count} images of ${formatImageShape(shape)}${classes}; ${formatBytes(bytes)} in ${formatDuration(seconds)}`,
    ...(width === height ? [] : ["note: the U-Nets take square images only"]),
    ...(width !== height || isPower ? [] : ["note: the published tools require a power of two as width and height"]),
    `train with  ${pasteable("train", `--data=${dest}`)}`,
  ];
}

/** Runs a job until it ends or is interrupted. Returns the exit code. */
async function run(work: (context: JobContext) => Promise<readonly string[]>, nothing: string): Promise<number> {
  const [{ commandContext, interruptedCode }, { Stopped }] = await Promise.all([
    import("./context.js"),
    import("../jobs/context.js"),
  ]);
  beginWork();
  const context = commandContext({ plainSeconds: 60 });
  const { reporter } = context;
  try {
    for (const line of await work(context)) reporter.print(line);
    return 0;
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    reporter.clear();
    reporter.print(`stopped; ${nothing}`);
    return interruptedCode();
  }
}

type Texts = Readonly<Record<string, string | true>>;

async function convert(texts: Texts): Promise<number> {
  const request: ConvertRequest = parse(convertFields, texts);
  checkAlone("dataset convert");
  convertOptions(request);
  const { convertDataset } = await import("../jobs/convert-dataset.js");
  return await run(async (context) => described(await convertDataset(request, context)), "nothing was written");
}

async function check(data: string | undefined, texts: Texts): Promise<number> {
  if (data === undefined) throw new UsageError("stf dataset check needs the path of the images");
  const request: CheckRequest = { ...parse(checkFields, texts), data };
  checkAlone("dataset check");
  checkOptions(request);
  const [{ checkDataset }, { reportLines }] = await Promise.all([
    import("../jobs/check-dataset.js"),
    import("./dataset-report.js"),
  ]);
  return await run(async (context) => reportLines(await checkDataset(request, context)), "nothing was found out");
}

/** @throws UsageError for an option of the other command */
function checkKnown(word: string, fields: Fields, texts: Texts): void {
  const other = Object.keys(texts).find((key) => !(key in fields));
  if (other !== undefined) throw new UsageError(`stf dataset ${word} has no option ${flagOf(other)}`);
}

const EXAMPLES = `
Examples:
  stf dataset convert --source=photos --dest=photos-64x64.zip --resolution=64x64 --transform=center-crop
  stf dataset convert --source=cifar-10-python.tar.gz --split=test --dest=cifar10-test.zip
  stf dataset convert --source=img_align_celeba --dest=celeba-64x64.zip --crop=140 --resolution=64x64
  stf dataset check photos --json=found.json

"convert" may be left out, as in the published tool.`;

/**
 * Sets the command's arguments, options and action. The two commands are one for the parser, because options of a program with
 * sub-commands would have to come before their names.
 */
export function declare(command: Command): void {
  command
    .argument("[convert|check]", "make a data set, or report what is in one")
    .argument("[PATH]", "the images to check: anything that can be converted");
  addFields(command, { ...convertFields, ...checkFields }, groups)
    .addHelpText("after", EXAMPLES)
    .action(async (word: string | undefined, path: string | undefined, texts: Texts) => {
      if (word === "check") {
        checkKnown(word, checkFields, texts);
        process.exitCode = await check(path, texts);
        return;
      }
      const unknown = word === "convert" ? path : word;
      if (unknown !== undefined) {
        throw new UsageError(
          `stf dataset must be followed by "convert" and options, or by "check" and a path, found "${unknown}"`,
        );
      }
      checkKnown("convert", convertFields, texts);
      process.exitCode = await convert(texts);
    });
}
