/** The page of an analysis. */

import type { VariancePage, VarianceReport } from "../run/variance-report.js";
import { type Html, html } from "./html.js";
import { pageDocument } from "./page-document.js";
import { formatShare } from "./page-numbers.js";
import { biasSection, networksSection, picturesSection } from "./variance-sections.js";
import { costsSection, overview, protocolSection } from "./variance-tables.js";

/**
 * The page of an analysis: HTML that needs no other file and no network. It says what was found, and shows the variance of the targets
 * over the noise level, the posterior, the errors of networks, the bias of targets, and noisy images with what could have
 * produced them; parts without data are left out. Throws an InputError if the code of pages has not been built.
 */
export function variancePage(page: VariancePage): string {
  const { report, examples } = page;
  const body = [
    overview(report),
    varianceSection(report),
    posteriorSection(report),
    picturesSection(page),
    networksSection(report),
    biasSection(report),
    costsSection(report),
    protocolSection(report),
    sources,
  ];
  return pageDocument({
    title: `Variance of training targets: ${report.data.name}`,
    body,
    script: "variance",
    data: { report, examples },
  });
}

function varianceSection(report: VarianceReport): Html {
  const { precond, phases, references, data } = report;
  const share = (phase: number): string =>
    ` ${formatShare(phases.probabilities[phase] ?? Number.NaN)} of the training samples of ${precond} are here.`;
  return html`<section>
<h2>How noisy are the targets?</h2>
<p>Training shows the network a noisy image x = y + σε and tells it what to return. Denoising score matching tells it the image y from
which x was made. But other images could have produced the same x: the right answer is their average, weighted by how probable each is.
So the target is noisy itself. Its variance, given x, is <i>V</i><sub>DSM</sub>.</p>
<p>The stable target takes the weighted average of n reference images, y among them. Its variance <i>V</i><sub>STF</sub>(n) falls with n,
and its mean stays the same. <i>V</i><sub>DSM</sub> is also the <em>floor</em> of the training loss: no network can do better on these data.</p>
<div class="chart" id="variance-chart"></div>
<p class="note">Bands: ± 2 standard errors. On a logarithmic axis, values at or below zero lie under the chart. ${
    references.includes("all") && data.count !== null
      ? "With all images as references the target is exact: its variance is 0, which only a linear axis can show."
      : null
  }</p>
<dl class="phases">
<dt>1 one source</dt><dd>The noise is so small that only one image could have produced x. Every target is right.${share(0)}</dd>
<dt>2 several sources</dt><dd>Several images compete. Here the target of a single image is noisiest, and references help.${share(1)}</dd>
<dt>3 all of the data</dt><dd>The noise hides the image. The right answer is close to the mean of all images, and many references find it.${share(2)}</dd>
</dl>
${references.length > 1 ? ratio : null}
</section>
`;
}

const ratio = html`<h3>What is left of the variance</h3>
<p>The ratio <i>V</i><sub>STF</sub>(n) / <i>V</i><sub>DSM</sub>: 1 means that references do not help, 0 that nothing is left.</p>
<div class="chart" id="ratio-chart"></div>`;

function posteriorSection({ levels }: VarianceReport): Html | null {
  if (levels.every(({ posterior }) => posterior === undefined)) return null;
  return html`<section>
<h2>How many images could be the source?</h2>
<p>Each image of the data has a weight: the probability that x was made from it. Dotted lines are the limits: a single image, and all
images with equal weights.</p>
<div class="charts">
<div class="chart"><h3>Effective number</h3><p>1 / Σ w²: as many images as would share the weight equally.</p><div id="effective-chart"></div></div>
<div class="chart"><h3>Weight of the source</h3><p>How sure one can be of the image that x was really made from.</p><div id="source-chart"></div></div>
<div class="chart"><h3>Entropy</h3><p>The uncertainty about the source: 0 if it is known.</p><div id="entropy-chart"></div></div>
</div>
</section>
`;
}

const sources = html`<footer>
<p>Stable target field, phases and the bound: Xu, Tong, Jaakkola, “Stable target field for reduced variance score estimation in diffusion
models”, ICLR 2023. Noise levels, preconditioning and loss weight: Karras, Aittala, Aila, Laine, “Elucidating the design space of
diffusion-based generative models”, NeurIPS 2022.</p>
</footer>`;
