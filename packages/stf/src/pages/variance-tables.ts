/** The parts of an analysis's page that are text and tables. */

import { formatDuration } from "../common/text.js";
import type { Fact, Facts } from "../run/protocol.js";
import type { VarianceReport } from "../run/variance-report.js";
import { type Content, type Html, html } from "./html.js";
import { formatCount, formatNumber, formatShare } from "./page-numbers.js";

/** Title, findings, the numbers that matter, and the options of `stf train` that follow. */
export function overview(report: VarianceReport): Html {
  const { data, findings, suggested, levels, precond, seconds } = report;
  const values = formatNumber(data.dimension, 15);
  const images = `${formatNumber(data.count, 15)} ${data.count === 1 ? "image" : "images"}, ${values} values each`;
  const what = data.count === null ? `a distribution of points in closed form, ${values} values each` : images;
  return html`<header>
<p class="kind">Variance of training targets</p>
<h1>${data.name}</h1>
<p class="facts">${what} · ${levels.length} noise ${
    levels.length === 1 ? "level" : "levels"
  } · ${precond} · ${formatDuration(seconds)}</p>
${data.count === null && html`<p class="facts">Where this page says image, read point.</p>`}
</header>
${findings.length > 0 && html`<section class="findings"><h2>Findings</h2><ul>${findings.map((finding) => html`<li>${printed(finding)}</li>`)}</ul></section>`}
<section>
<h2>Settings that suit these data</h2>
${data.count !== null && trainOptions(suggested.options)}
${numbers(report)}
</section>
`;
}

/** A sentence of a terminal with the signs of print, in which numbers and their units stay on one line. */
const printed = (sentence: string): string =>
  sentence
    .replace(/\bsigma\b/g, "σ")
    .replaceAll("+-", "±")
    .replace(/(?<=[ (])-(?=\d)/g, "−")
    .replace(/(\d) (?=(?:%|ms|s)(?!\w))/g, "$1\u00a0")
    .replace(/([σ±]) (?=[=\d])/g, "$1\u00a0")
    .replace(/= (?=\d)/g, "=\u00a0");

/** The options of `stf train`, of which none is broken over two lines. */
function trainOptions(options: readonly string[]): Html {
  if (options.length === 0) return html`<p>The defaults of <code>stf train</code> do.</p>`;
  const words = options.map((option, k) => html`${k > 0 && " "}<span>${option}</span>`);
  return html`<p>For <code>stf train</code>:</p>
<div class="command"><code id="options">${words}</code><button type="button" data-copies="options" hidden>Copy</button></div>`;
}

interface Tile {
  readonly name: Content;
  readonly value: string;
  readonly about: string;
}

function numbers({ phases, suggested, data }: VarianceReport): Html {
  const level = (sigma: number | null, none: string): string => (sigma === null ? none : `σ = ${formatNumber(sigma)}`);
  const tiles: readonly Tile[] = [
    {
      name: "Only one source up to",
      value: level(phases.sourceUpTo, "no level here"),
      about: "There, targets are exact, and references change nothing.",
    },
    {
      name: "All of the data from",
      value: level(phases.priorFrom, "no level here"),
      about: "There, every image is nearly as probable as another.",
    },
    {
      name: "Noisiest score",
      value: level(phases.scorePeak, "–"),
      about: "Where the denoising target varies most, as a score.",
    },
    {
      name: "Noisiest loss",
      value: level(phases.lossPeak, "–"),
      about: "Where it varies most, as the training loss counts it.",
    },
    {
      name: "References",
      value: suggested.references === null ? "more than tried" : formatCount(suggested.references),
      about: `So many bring the variance of the score at its peak below ${formatShare(suggested.fraction)}.`,
    },
    {
      name: html`σ<sub>data</sub>`,
      value: formatNumber(suggested.sigmaData, 4),
      about: `Standard deviation of all values; 0.5 is usually assumed. Around the mean image: ${formatNumber(Math.sqrt(data.variance), 4)}.`,
    },
    {
      name: html`σ<sub>min</sub> to σ<sub>max</sub>`,
      value: `${formatNumber(suggested.sigmaMin)} to ${formatNumber(suggested.sigmaMax)}`,
      about: "Below, noise does not matter; above, nothing of the image is left.",
    },
    {
      name: "ln σ in training",
      value: `${formatNumber(suggested.pMean)} ± ${formatNumber(suggested.pStd)}`,
      about: "Mean and standard deviation of the logarithm of the noise level.",
    },
  ];
  return html`<dl class="tiles">${tiles.map(
    ({ name, value, about }) => html`<div><dt>${name}</dt><dd><strong>${value}</strong> ${about}</dd></div>`,
  )}</dl>`;
}

/** The time of a training step's target, for each number of references. */
export function costsSection({ costs, references }: VarianceReport): Html | null {
  if (costs.length === 0) return null;
  const most = Math.max(...costs.map(({ milliseconds }) => milliseconds));
  const rows = costs.map(
    ({
      references: count,
      milliseconds,
    }) => html`<tr><th scope="row">${formatCount(count)}</th><td>${formatNumber(milliseconds)} ms</td>
<td class="bar"><span style="--part:${most > 0 ? milliseconds / most : 0}"></span></td></tr>`,
  );
  return html`<section>
<h2>What references cost</h2>
<p>Time to compute the target of one image of a batch, measured on the machine of this analysis${
    references.length > 1 ? null : " (for one reference only)"
  }. The network’s own time comes on top.</p>
<table class="costs"><thead><tr><th scope="col">References</th><th scope="col">Per image</th><th><span class="unseen">as a bar</span></th></tr></thead>
<tbody>${rows}</tbody></table>
</section>
`;
}

/** How the numbers were obtained. */
export function protocolSection({ protocol }: VarianceReport): Html {
  const parts: readonly (readonly [string, Facts])[] = [
    ["subject", protocol.subject],
    ...Object.entries(protocol.method),
  ];
  const rows = parts.flatMap(([part, facts]) =>
    Object.entries(facts).map(
      ([name, fact]) => html`<tr><th scope="row">${part}</th><td>${name}</td><td>${formatFact(fact)}</td></tr>`,
    ),
  );
  return html`<section>
<details><summary>Protocol: how these numbers were obtained</summary>
<div class="wide"><table><tbody>${rows}</tbody></table></div>
</details>
</section>
`;
}

const formatFact = (fact: Fact): string =>
  fact === null ? "none" : typeof fact === "object" ? fact.join(", ") : String(fact);
