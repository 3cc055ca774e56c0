import { MergeError } from './errors.ts';
import { MOST } from './limits.ts';

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1e3,
  kb: 1e3,
  ki: 2 ** 10,
  kib: 2 ** 10,
  m: 1e6,
  mb: 1e6,
  mi: 2 ** 20,
  mib: 2 ** 20,
  g: 1e9,
  gb: 1e9,
  gi: 2 ** 30,
  gib: 2 ** 30,
  t: 1e12,
  tb: 1e12,
  ti: 2 ** 40,
  tib: 2 ** 40,
};

/** Characters of a text that a message shows. */
const SHOWN = 60;

/**
 * `268435456`, `256M` (decimal), `256MiB` (binary), `1.5G`: bytes, from 1 to 1 PiB.
 * @param what the option or entry, for the message
 * @throws MergeError E_OPTION for anything else
 */
export function parseByteSize(size: string | number, what: string): number {
  return parseBytes(size, `${what} takes a size`, 'Write bytes (268435456), decimal units (256M, 1.5G) or binary units (256MiB, 1GiB).');
}

/**
 * `40GB/s`, `500MiB`: bytes a second, from 1 to 1 PiB; the second may be left out.
 * @param what the option, for the message
 * @throws MergeError E_OPTION for anything else
 */
export function parseByteRate(rate: string, what: string): number {
  const bytes = /^(.*\S)\s*\/\s*s$/i.exec(rate.trim())?.[1];
  return parseBytes(bytes ?? rate, `${what} takes bytes a second`, 'Write decimal units (40GB/s, 1.5GB/s) or binary units (500MiB/s).');
}

/** @param what who takes what, as the beginning of a sentence */
function parseBytes(size: string | number, what: string, help: string): number {
  const text = String(size).trim();
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text);
  const unit = UNITS[(match?.[2] ?? '?').toLowerCase()];
  const bytes = match !== null && unit !== undefined ? Math.round(Number(match[1]) * unit) : Number.NaN;
  if (bytes >= 1 && bytes <= MOST.bytes) return bytes;
  const shown = text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
  throw new MergeError('E_OPTION', `${what} up to 1PiB, not '${shown}'`, { help });
}
