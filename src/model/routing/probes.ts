import { cosPi } from '../../base/numbers/elementary.ts';
import { splitMix64 } from '../../base/numbers/random.ts';
import { languageConfigs, type ModelConfig } from '../roles/model-config.ts';
import type { RouterInputs } from './types.ts';

/** Multiplications that a comparison of routers may take: some ten seconds of one core. */
const WORK = 20e9;
const FEWEST_PROBES = 16;
const MOST_PROBES = 512;
/** Fewer real tokens than this say little of how load is spread. */
const FEWEST_TOKENS = 512;
/** Memory that the hidden states of one layer may take. */
const MOST_BYTES = 128 * 1024 * 1024;

/** Families whose norms multiply by 1 + weight: Gemma's, and those that took it over (transformers 5.23). */
const ONE_PLUS = new Set(
  'gemma gemma2 gemma3 gemma3_text qwen3_next qwen3_5_moe qwen3_5_moe_text qwen4_exp_text minimax_m3_vl minimax_m3_vl_text step3p5'.split(
    ' ',
  ),
);

/**
 * How many probes fit the work: fewer where there are many layers, members, or large routers. @param
 * multiplications of one probe, over all of them
 */
export function probeCount(multiplications: number): number {
  return Math.max(FEWEST_PROBES, Math.min(MOST_PROBES, Math.floor(WORK / multiplications)));
}

/**
 * How many real tokens fit the work and memory. @param multiplications of one token, over all layers and
 * members @param width of the widest router's input
 */
export function tokenCount(multiplications: number, width: number): number {
  const fit = Math.min(WORK / multiplications, MOST_BYTES / (width * Float64Array.BYTES_PER_ELEMENT));
  return Math.max(FEWEST_TOKENS, Math.floor(fit));
}

/** Whether the norms of this model multiply by 1 + weight. */
export function normsAddOne(config: ModelConfig | null): boolean {
  return config !== null && languageConfigs(config).some(({ model_type }) => typeof model_type === 'string' && ONE_PLUS.has(model_type));
}

/**
 * Gaussian vectors of root mean square 1, which a seed decides, the same on every machine. They stand for
 * hidden states after a norm without weights.
 *
 * Pairs of normal numbers by Box and Muller (1958) from SplitMix64: √(−2 ln u) · cos 2πv and · sin 2πv, u =
 * (a + 1) / 2^53 and v = b / 2^53 with the upper 53 bits of two successive numbers.
 *
 * @param seed integer from 0 to 2^53 − 1
 */
export function gaussianProbes(count: number, width: number, seed: number): RouterInputs {
  const next = splitMix64(seed);
  const fraction = () => Number(next() >> 11n);
  const data = new Float64Array(count * width);
  for (let i = 0; i < data.length; i += 2) {
    const radius = Math.sqrt(-2 * ln((fraction() + 1) / 2 ** 53));
    const turn = (2 * fraction()) / 2 ** 53;
    data[i] = radius * cosTurn(turn);
    if (i + 1 < data.length) data[i + 1] = radius * cosTurn(Math.abs(turn - 0.5));
  }
  for (let start = 0; start < data.length; start += width) {
    const row = data.subarray(start, start + width);
    const rms = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0) / width);
    for (let i = 0; i < width; i++) row[i]! /= rms;
  }
  return { data, tokens: count, width, synthetic: true };
}

/**
 * Probes as they come out of a norm: each coordinate times the norm's weight, or 1 + weight.
 * @param norm [H]; null where it is not known: then as they are
 */
export function throughNorm(probes: RouterInputs, norm: Float64Array | null, addOne: boolean): RouterInputs {
  if (norm === null) return probes;
  return { ...probes, data: probes.data.map((x, i) => x * (norm[i % probes.width]! + (addOne ? 1 : 0))) };
}

/** cos(π·turn) for turn in [0, 2). */
const cosTurn = (turn: number) => cosPi(turn > 1 ? 2 - turn : turn);

/**
 * ln x for x in (0, 1], from + − × ÷ alone, which IEEE 754 fixes where Math.log is left to the engine: ln m =
 * 2 artanh((m − 1) / (m + 1)).
 */
export function ln(x: number): number {
  let m = x;
  let doublings = 0;
  for (; m < Math.SQRT1_2; m *= 2) doublings++;
  const y = (m - 1) / (m + 1);
  const squared = y * y;
  let series = 0;
  for (let k = 23; k > 0; k -= 2) series = series * squared + 1 / k;
  return 2 * y * series - doublings * Math.LN2;
}
