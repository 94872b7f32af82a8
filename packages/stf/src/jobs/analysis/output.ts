/** The files of an analysis. */

import { join } from "node:path";
import { writeFileAtomically } from "@stf/torch";
import { variancePage } from "../../pages/variance-page.js";
import { variancePlot } from "../../pages/variance-plot.js";
import type { VariancePage } from "../../run/variance-report.js";
import { writeOrRescue } from "../rescue.js";

/** Paths of the files. */
export interface AnalysisFiles {
  /** The report, as JSON. */
  readonly json: string;
  /** The page. */
  readonly page: string;
  /** The curves as a picture. */
  readonly plot: string;
  /** What could not be written to its path, in one line. */
  readonly problem?: string;
}

/** Writes the report, the page and the plot of an analysis into a folder. */
export async function writeAnalysis(outdir: string, page: VariancePage): Promise<AnalysisFiles> {
  const contents = {
    json: { name: "variance.json", text: `${JSON.stringify(page.report, undefined, 2)}\n` },
    page: { name: "variance.html", text: variancePage(page) },
    plot: { name: "variance.svg", text: variancePlot(page.report) },
  };
  const problems: string[] = [];
  const write = async ({ name, text }: { name: string; text: string }): Promise<string> => {
    const { path, problem } = await writeOrRescue(join(outdir, name), (place) =>
      writeFileAtomically(place, Buffer.from(text)),
    );
    if (problem !== undefined) problems.push(problem);
    return path;
  };
  const files = {
    json: await write(contents.json),
    page: await write(contents.page),
    plot: await write(contents.plot),
  };
  return { ...files, ...(problems[0] !== undefined && { problem: problems[0] }) };
}
