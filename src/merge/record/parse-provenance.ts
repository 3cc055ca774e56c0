import { isAbsolute, normalize } from 'node:path';
import { z } from 'zod';
import { MergeError, type WarningCode } from '../../base/errors.ts';
import { pathText } from '../../base/problems.ts';
import { JsonScanner } from '../../checkpoints/containers/safetensors/json-scanner.ts';
import type { Provenance } from './provenance.ts';

const text = z.string('is not text');
const number = z.number('is not a finite number');
const count = z.int('is not a count').min(0, 'is not a count');
const flag = z.boolean('is neither true nor false');
const list = <T extends z.ZodType>(entry: T) => z.array(entry, 'is not a list');
const object = <T extends z.core.$ZodShape>(shape: T) => z.object(shape, 'is not an object');

const member = object({
  name: text,
  path: text.refine((path) => !isAbsolute(path), 'is absolute').nullable(),
  step: count.nullable(),
  tokens: count.nullable(),
  weight: number,
  bytes: count,
  fingerprint: text,
});

const recipe = object({
  method: text,
  alpha: number.nullable(),
  parameters: z
    .record(z.string(), z.union([number, text, z.boolean()], 'is neither a finite number, text, true nor false'), 'is not an object')
    .optional(),
  normalized: flag,
  dtype: text.nullable(),
  purpose: text.nullable().default(null),
  optimizer: text.nullable().default(null),
  extraState: text.optional(),
  weightsFrom: text.optional(),
  weightsFile: object({ name: text, digest: text, groups: count }).optional(),
  policies: list(object({ policy: text, weights: list(number).nullable() })).default([]),
  allowMixedDtypes: flag,
  allowUnknown: flag.default(false),
  like: text.nullable(),
  format: text.optional(),
  shardSize: count.optional(),
  files: count.optional(),
  names: object({
    asked: text,
    table: object({ name: text, digest: text, content: z.unknown() }).nullable(),
    sizes: z.record(z.string(), number, 'is not an object'),
    model: text.nullable(),
  }).optional(),
  members: list(member).min(1, 'is empty'),
}).transform(({ parameters, ...rest }) => {
  // Before there were others, alpha was the only one.
  return { ...rest, parameters: parameters ?? (rest.alpha === null ? {} : { alpha: rest.alpha }) };
});

const file = object({
  name: text.refine((name) => name !== '' && !isAbsolute(name) && !name.includes('\0') && !normalize(name).startsWith('..'), {
    error: ({ input }) => `is ${JSON.stringify(input)}, which leaves the folder`,
  }),
  bytes: count,
  crc32c: text.regex(/^[0-9a-f]{8}$/, 'is not 8 hexadecimal digits'),
});

const warning = object({
  // A later version may know more of them.
  code: text.regex(/^W_[A-Z_]+$/, 'is not a warning code').transform((code) => code as WarningCode),
  message: text,
});

/** Fields that are not known are passed over: later versions may add some. */
const provenanceSchema: z.ZodType<Provenance> = object({
  schema: z.literal('ckpt-merge/provenance', 'is not ckpt-merge/provenance'),
  version: z.literal(1, { error: ({ input }) => `is ${JSON.stringify(input)}, and this program reads version 1` }),
  tool: object({ name: text, version: text }),
  recipe,
  planDigest: text.nullable(),
  request: text.optional(),
  files: list(file),
  sideFiles: list(file).optional(),
  dtypeChanges: list(text),
  warnings: list(warning),
  timings: object({
    ...{ seconds: number, bytesRead: count, bytesWritten: count },
    ...{ ranks: count.optional(), hosts: count.optional(), job: text.optional() },
  }).nullable(),
});

/**
 * Reads a provenance strictly: no key is there twice, every field has its type, every file name stays inside
 * the folder. Loads zod, so it is imported where a provenance is read.
 * @param path file it is from, for messages
 * @throws MergeError E_PROVENANCE
 */
export function parseProvenance(text: string | Uint8Array, path: string): Provenance {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text;
  scan(bytes, path);
  const { data, error } = provenanceSchema.safeParse(JSON.parse(new TextDecoder().decode(bytes)));
  if (data !== undefined) return data;
  const [{ path: place, message }] = error!.issues as [z.core.$ZodIssue];
  const name = place.length === 0 ? 'it' : pathText(place as (string | number)[]);
  throw new MergeError('E_PROVENANCE', `${path}: ${name} ${message}`, { details: { file: path } });
}

/** Refuses what `JSON.parse` would let pass. */
function scan(bytes: Uint8Array, path: string): void {
  try {
    const scanner = new JsonScanner(bytes, { path, offset: 0, what: 'provenance', syntax: 'E_PROVENANCE', utf8: 'E_PROVENANCE' });
    scanner.value();
    scanner.finish(' \t\r\n');
  } catch (error) {
    if (!(error instanceof MergeError) || error.code === 'E_PROVENANCE') throw error;
    throw new MergeError('E_PROVENANCE', error.message, { details: error.details, cause: error });
  }
}
