/** Numbers as pages show them. Browsers run this module, too, so that it imports types only. */

import type { Measured } from "../run/evaluation.js";
import type { ReferenceCount } from "../run/variance-report.js";

/** Bands, intervals and what stands behind ± are so many standard errors. */
export const BAND = 2;

const superscripts = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** "10⁻⁴" */
function powerOfTen(exponent: number): string {
  const digits = [...String(Math.abs(exponent))].map((digit) => superscripts[Number(digit)]).join("");
  return `10${exponent < 0 ? "⁻" : ""}${digits}`;
}

/** "0.0123", "1,281,167", "3.4 × 10⁻⁷", "−0.02": to so many digits, but all before the point. "–" for what is no number. */
export function formatNumber(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size === 0 || (size >= 1e-4 && size < 1e12)) {
    const rounded = size >= 10 ** digits ? Math.round(value) : Number(value.toPrecision(digits));
    return rounded.toLocaleString("en-US", { maximumFractionDigits: 12 }).replace("-", "−");
  }
  const [mantissa = "", exponent = "0"] = value.toExponential(digits - 1).split("e");
  return `${Number(mantissa).toString().replace("-", "−")} × ${powerOfTen(Number(exponent))}`;
}

/** "0.01", "100", "10⁵": the number at a tick of an axis. */
export function formatTick(value: number): string {
  const exponent = Math.log10(Math.abs(value));
  const isPower = Math.abs(exponent - Math.round(exponent)) < 1e-9;
  if (isPower && Math.abs(exponent) > 3.5) return (value < 0 ? "−" : "") + powerOfTen(Math.round(exponent));
  return formatNumber(value, 4);
}

/** "12.3 %" */
export const formatShare = (share: number): string =>
  Number.isFinite(share) ? `${formatNumber(share * 100, Math.abs(share) < 0.01 ? 2 : 3)} %` : "–";

/** "1,024" or "all" */
export const formatCount = (count: ReferenceCount): string => (count === "all" ? "all" : formatNumber(count, 12));

/** "0.123 ± 0.004", with as many digits as the error allows. The number is multiplied by the factor. */
export function formatMeasured(measured: Measured | null | undefined, factor = 1): string {
  // What is no number in a report is null in its JSON.
  const value = (measured?.value ?? Number.NaN) * factor;
  const reach = BAND * (measured?.error ?? 0) * factor;
  if (!(reach > 0) || !Number.isFinite(value)) return formatNumber(value, 4);
  const digits = Math.ceil(Math.log10(Math.abs(value) / reach)) + 2;
  return `${formatNumber(value, Math.min(5, Math.max(2, Number.isFinite(digits) ? digits : 2)))} ± ${formatNumber(reach, 2)}`;
}
