/**
 * A measured number for people: `digits` significant digits, exponents outside 0.001 to 100,000, `NaN` and
 * `∞` as such, a dash where there is none.
 */
export function formatNumber(value: number | null, digits = 3): string {
  if (value === null) return '–';
  if (value === 0) return '0';
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '∞' : '-∞';
  const magnitude = Math.abs(value);
  if (Number.isInteger(value) && magnitude < 1e5) return String(value);
  if (magnitude >= 1e5 || magnitude < 0.9995e-3) return value.toExponential(digits - 1).replace('e+', 'e');
  const rounded = value.toPrecision(digits);
  return rounded.includes('e') ? String(Math.round(value)) : rounded;
}

/** Below these differences are written with an exponent. */
const SMALLEST_WRITTEN_OUT = 1e-6;

/** A difference, as {@link formatNumber} but for small ones, which are written out: `0.000451`. */
export function formatDifference(value: number, digits = 3): string {
  const magnitude = Math.abs(value);
  if (!(magnitude >= SMALLEST_WRITTEN_OUT && magnitude < 1e-3)) return formatNumber(value, digits);
  return value.toFixed(digits - 1 - Math.floor(Math.log10(magnitude)));
}

/** A value with its standard error, both to the error's second digit: `1.1804 ± 0.0051`. */
export function formatEstimate(value: number, error: number | null | undefined): string {
  if (error === null || error === undefined) return formatNumber(value, 4);
  const decimals = 1 - Math.floor(Math.log10(error));
  if (!Number.isFinite(value) || !(decimals >= 0 && decimals <= 12)) return `${formatNumber(value, 6)} ± ${formatNumber(error, 2)}`;
  return `${value.toFixed(decimals)} ± ${error.toFixed(decimals)}`;
}

/** A round number on an axis: all of its digits, as they are few. */
export function formatTick(tick: number): string {
  const magnitude = Math.abs(tick);
  if (magnitude !== 0 && (magnitude < 1e-4 || magnitude >= 1e9)) return tick.toExponential().replace('e+', 'e');
  return magnitude >= 10_000 ? tick.toLocaleString('en') : String(tick);
}

/** At most `digits` significant digits, and no zeros behind them. */
export function plainNumber(value: number, digits: number): string {
  return formatTick(Number(value.toPrecision(digits)));
}

/** A share or a cosine with a fixed number of decimals; a dash where there is none. */
export function formatFixed(value: number | null, decimals: number): string {
  return value === null ? '–' : value.toFixed(decimals);
}

/** The middle of a text cut out, so that it has at most `most` characters: paths differ at their ends. */
export function shorten(text: string, most: number): string {
  if (text.length <= most) return text;
  const tail = Math.ceil((most - 1) * 0.6);
  return `${text.slice(0, most - 1 - tail)}…${text.slice(-tail)}`;
}
