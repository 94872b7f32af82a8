/** The parts of an analysis's page about networks, bias and single images; each is left out without data. */

import type { BiasReport, NetworkReport, VariancePage, VarianceReport } from "../run/variance-report.js";
import { type Html, html } from "./html.js";
import { formatCount, formatMeasured, formatNumber, formatShare } from "./page-numbers.js";

/** Noisy images with what could have produced them. */
export function picturesSection({ examples }: VariancePage): Html | null {
  if (examples.length === 0) return null;
  return html`<section>
<h2>See it</h2>
<p>Choose an image and move the slider. With little noise all targets are the source. With more, other images become as probable, and
the targets of few and of many references part.</p>
<div id="pictures"></div>
</section>
`;
}

/** The errors of networks. */
export function networksSection(report: VarianceReport): Html | null {
  const { networks } = report;
  if (networks.length === 0) return null;
  const unseen = networks.some(({ levels }) => levels.some((level) => level.unseen !== undefined));
  return html`<section>
<h2>What have the networks learnt?</h2>
<p>A network that returned the exact average at every noise level would reach the floor, and reproduce the training images when it samples. A
good network is near it where many images compete, and keeps away from it where only one is left.</p>
${summary(report, unseen)}
<div class="charts two">
<div class="chart"><h3>Underfitted where this is high</h3><p>Excess over the floor, as a part of what can be explained. 0: exact.
1: no better than the mean image.</p><div id="unlearnt-chart"></div></div>
${
  unseen
    ? html`<div class="chart"><h3>Memorising where this is high</h3><p>Loss on unseen images less that on training images, as a part of that
difference for the exact denoiser. 0: it treats both alike. 1: it knows the training images by heart.</p><div id="memorised-chart"></div></div>`
    : html`<div class="chart"><h3>Memorising?</h3><p>Unknown: this needs images on which the networks were not trained.</p></div>`
}
</div>
<h3>Losses</h3>
<p>Mean squared error per value against the clean image. Between the floor and the solid line lies the excess: what the network can still
gain.${unseen && " A dashed line above the solid one means that training images are known better than others."}</p>
<div class="chart" id="loss-chart"></div>
${networks.map((network) => networkTable(report, network))}
</section>
`;
}

/** So many standard errors are no chance, even with many levels to choose from. */
const CLEAR = 4;

/** One line for each network: where it explains least, and where it treats training images better than unseen ones. */
function summary({ levels, networks }: VarianceReport, unseen: boolean): Html {
  const rows = networks.map(({ file, images, levels: errors }) => {
    const explained = errors.map(({ seen }) => seen.explained.value);
    const least = explained.indexOf(Math.min(...explained.filter(Number.isFinite)));
    const gaps = errors.flatMap(({ unseen: other }, k) => {
      const clear = other !== undefined && other.gap.value > CLEAR * (other.gap.error ?? Number.POSITIVE_INFINITY);
      return clear ? [levels[k]?.sigma] : [];
    });
    const where =
      gaps.length === 0 ? "nowhere clearly" : `σ = ${formatNumber(gaps[0])} to ${formatNumber(gaps.at(-1))}`;
    const known = errors.some((error) => error.unseen !== undefined);
    return html`<tr><th scope="row">${file}</th><td>${images === undefined ? "–" : formatNumber(images, 15)}</td>
<td>${formatNumber(explained[least])} at σ = ${formatNumber(levels[least]?.sigma)}</td>${unseen && html`<td>${known ? where : "not known"}</td>`}</tr>`;
  });
  return html`<div class="wide"><table class="numbers"><thead><tr><th scope="col">Network</th><th scope="col">Trained on, images</th>
<th scope="col">Least share explained</th>${unseen && html`<th scope="col">Better on training images</th>`}</tr></thead><tbody>${rows}</tbody></table></div>`;
}

function networkTable({ levels }: VarianceReport, network: NetworkReport): Html {
  const unseen = network.levels.some((level) => level.unseen !== undefined);
  const rows = network.levels.map(
    ({ seen, unseen: other }, k) => html`<tr><th scope="row">${formatNumber(levels[k]?.sigma)}</th>
<td>${formatMeasured(levels[k]?.floor)}</td><td>${formatMeasured(seen.loss)}</td><td>${formatMeasured(seen.excess)}</td><td>${formatMeasured(seen.explained)}</td>${
      unseen && html`<td>${formatMeasured(other?.loss)}</td><td>${formatMeasured(other?.gap)}</td>`
    }</tr>`,
  );
  return html`<details><summary>Numbers of ${network.file}${
    network.images !== undefined && `, trained on ${formatNumber(network.images, 15)} images`
  }</summary>
<div class="wide"><table class="numbers"><thead><tr><th scope="col">σ</th><th scope="col">floor</th><th scope="col">loss, training images</th><th scope="col">excess</th><th scope="col">share explained</th>${
    unseen && html`<th scope="col">loss, unseen images</th><th scope="col">gap</th>`
  }</tr></thead><tbody>${rows}</tbody></table></div></details>`;
}

/** The regression bias of kinds of targets. */
export function biasSection({ bias }: VarianceReport): Html | null {
  if (bias.length === 0) return null;
  return html`<section>
<h2>Are the targets right on average?</h2>
<p>A network learns the mean of its targets. If that mean is the exact average over all images, the target has no bias, however noisy it
is. Squared bias is estimated without a bias of its own, so it scatters around 0, below as well as above, where there is none. Bars:
± 2 standard errors.</p>
<div class="chart" id="bias-chart"></div>
<div class="wide"><table class="numbers"><thead><tr><th scope="col">Target</th><th scope="col">References</th><th scope="col">Largest squared bias</th><th scope="col">at σ</th><th scope="col">of what there is to learn</th><th scope="col">Bias?</th></tr></thead>
<tbody>${bias.map(biasRow)}</tbody></table></div>
</section>
`;
}

function biasRow({ name, about, references, levels }: BiasReport): Html {
  const largest = levels.reduce<BiasReport["levels"][number] | undefined>(
    (most, level) => (most === undefined || level.squaredBias.value > most.squaredBias.value ? level : most),
    undefined,
  );
  const part = largest ? Math.max(0, largest.squaredBias.value) / largest.explainable.value : Number.NaN;
  const clear = levels.filter(({ squaredBias: { value, error } }) => error !== undefined && value > CLEAR * error);
  return html`<tr><th scope="row">${name}<small>${about}</small></th><td>${formatCount(references)}</td>
<td>${formatMeasured(largest?.squaredBias)}</td><td>${formatNumber(largest?.sigma)}</td><td>${formatShare(part)}</td><td>${
    clear.length > 0 ? html`<strong>yes</strong>` : "none found"
  }</td></tr>`;
}
