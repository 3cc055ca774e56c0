/** Shades of a heat map: classes `s0` to `s11` of the stylesheet, weakest first. */
export const SHADES = 12;
/** The first shade on which text is set in the colour for strong shades. */
export const FIRST_STRONG_SHADE = 7;

/** From a value to a place between 0 and 1. */
export interface Scale {
  readonly from: number;
  readonly to: number;
  readonly log: boolean;
  /**
   * 0 at `from`, 1 at `to`; outside of them below 0 and above 1, -Infinity for what a logarithmic scale
   * cannot show.
   */
  at(value: number): number;
}

/** A scale over finite numbers. A logarithmic one is over the positive ones; without any it is linear. */
export function scaleOf(values: Iterable<number>, { log = false, zero = false }: { log?: boolean; zero?: boolean } = {}): Scale {
  let [from, to] = range(values, (value) => !log || value > 0);
  if (from > to) return makeScale(0, 1, false);
  if (zero && !log) [from, to] = [Math.min(0, from), Math.max(0, to)];
  return makeScale(from, to, log);
}

/**
 * A scale whose ends have room around the data, for an axis: a twentieth of its length, never across zero.
 */
export function axisScale(values: Iterable<number>, { log = false }: { log?: boolean } = {}): Scale {
  const { from, to, log: logarithmic } = scaleOf(values, { log });
  if (logarithmic) return makeScale(from / 1.15, to * 1.15, true);
  const room = from === to ? Math.abs(from) / 10 || 1 : (to - from) / 20;
  return makeScale(from >= 0 && from < room ? 0 : from - room, to + room, false);
}

/**
 * Which shade a value has. What is finite has one; zero and below have the weakest on a logarithmic scale.
 */
export function shadeOf(scale: Scale, value: number): number {
  const place = scale.at(value);
  return Math.max(0, Math.min(SHADES - 1, Math.floor(place * SHADES)));
}

/**
 * Round numbers inside a scale, about `count` of them: 1, 2 or 5 times a power of ten apart; on a long
 * logarithmic scale powers of ten.
 */
export function ticks({ from, to, log }: Scale, count: number): number[] {
  if (!(to > from)) return [from];
  if (log && to / from >= 1000) return powers(from, to, count);
  const rough = (to - from) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  // Between two steps the nearer one by ratio: their geometric means are the limits.
  const step = power * (rough / power >= Math.sqrt(50) ? 10 : rough / power >= Math.sqrt(10) ? 5 : rough / power >= Math.SQRT2 ? 2 : 1);
  const first = Math.ceil(from / step - 1e-9);
  const last = Math.floor(to / step + 1e-9);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  // Of very large ones toFixed has all digits of the product, of which only the first were meant.
  const round = (tick: number) => (step < 1e15 ? tick.toFixed(Math.min(100, digits)) : tick.toPrecision(15));
  return Array.from({ length: last - first + 1 }, (_, i) => Number(round((first + i) * step)));
}

function powers(from: number, to: number, count: number): number[] {
  const first = Math.ceil(Math.log10(from) - 1e-9);
  const last = Math.floor(Math.log10(to) + 1e-9);
  const apart = Math.max(1, Math.ceil((last - first + 1) / count));
  const found: number[] = [];
  for (let exponent = first; exponent <= last; exponent += apart) found.push(Number(`1e${exponent}`));
  return found;
}

function makeScale(from: number, to: number, log: boolean): Scale {
  const [low, high] = log ? [Math.log(from), Math.log(to)] : [from, to];
  return {
    from,
    to,
    log,
    at(value) {
      if (log && !(value > 0)) return -Infinity;
      return high === low ? 0.5 : ((log ? Math.log(value) : value) - low) / (high - low);
    },
  };
}

function range(values: Iterable<number>, take: (value: number) => boolean): [number, number] {
  let [from, to] = [Infinity, -Infinity];
  for (const value of values) {
    if (!Number.isFinite(value) || !take(value)) continue;
    if (value < from) from = value;
    if (value > to) to = value;
  }
  return [from, to];
}
