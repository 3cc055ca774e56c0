import { pythonJsonOrNone } from '../../../base/json/parse.ts';

/**
 * What counts, dates, scores or describes the very files that it was written into: their sizes, dtype, form
 * of quantisation, checksums, writer and time, and how far training was.
 */
const ABOUT_FILES =
  /size|bytes|count|param|dtype|quant|hash|sha\d|md5|crc|checksum|signature|sum$|version|date|time|step|commit|loss|epoch|score|metric|eval|perplexity|accuracy|iteration|learning_rate|grad_norm|tokens(_seen)?$/i;
const QUANTISATION = /quant/i;
/** Objects and lists that loaders read: a whole configuration (diffusers, LTX), how weights are quantised. */
const READ = /^(config|_quantization_metadata)$/;

/**
 * Whether an entry of metadata, of an index or of a header, speaks of the files that it is in, so that of a
 * merge in their layout it may be untrue: numbers, lists and maps, which count or name what is in them, be
 * they written as text, and what a key of {@link ABOUT_FILES} says. Other texts may still be true.
 * @param quantised the merge is in the quantised form of the files, which a loader may have to be told
 */
export function isAboutFiles(key: string, value: unknown, quantised = false): boolean {
  if (quantised && QUANTISATION.test(key)) return false;
  if (ABOUT_FILES.test(key)) return true;
  if (typeof value === 'boolean') return false;
  if (typeof value !== 'string') return true;
  // Words of no JSON text are the rule, and long ones are configurations.
  const written = /^\s*[-+\d.[{NI]/.test(value) ? pythonJsonOrNone(value.replace(/^\s*\+/, '')) : undefined;
  if (typeof written === 'number') return true;
  return typeof written === 'object' && written !== null && !READ.test(key) && !quantised;
}
