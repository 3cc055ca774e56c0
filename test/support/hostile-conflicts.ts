import { join } from 'node:path';
import type { ErrorCode } from '../../src/base/errors.ts';
import { type FixtureTensor, writeCheckpoint } from './checkpoints.ts';
import type { HostileCase } from './hostile-case.ts';
import { EMBED, NORM } from './hostile-inputs.ts';

const COUNTS: FixtureTensor = { name: 'counts', dtype: 'I64', shape: [2], data: new Uint8Array(16) };
const OTHER_COUNTS: FixtureTensor = { ...COUNTS, data: new Uint8Array(16).fill(1, 9) };
const many = (dtype: FixtureTensor['dtype']): FixtureTensor[] =>
  Array.from({ length: 15 }, (_, i) => ({ name: `layers.${i}.weight`, dtype, shape: [2] }));

/**
 * What `a` (older) and `b` (newer, so the layout) hold, and what must be said. Other words of the command
 * line come last.
 */
interface Pair {
  readonly code: ErrorCode;
  readonly place: string;
  readonly a: readonly FixtureTensor[];
  readonly b: readonly FixtureTensor[];
  readonly file?: string;
  readonly tensor?: string;
  readonly says?: string;
  readonly args?: readonly string[];
}

const PAIRS: readonly Pair[] = [
  { code: 'E_TENSOR_MISSING', place: 'average: older input', a: [EMBED], b: [EMBED, NORM], file: 'a', tensor: 'norm.weight' },
  {
    code: 'E_TENSOR_MISSING',
    place: 'plan: input lacks a tensor of --like',
    a: [EMBED, NORM],
    b: [EMBED],
    file: 'b',
    tensor: 'norm.weight',
    args: ['--like', 'a'],
  },
  {
    code: 'E_TENSOR_EXTRA',
    place: 'average: older input',
    a: [EMBED, NORM, { name: 'extra', dtype: 'F32', shape: [] }],
    b: [EMBED, NORM],
    file: 'a/model.safetensors',
    tensor: 'extra',
  },
  {
    code: 'E_SHAPE',
    place: 'average: sizes swapped',
    a: [{ ...EMBED, shape: [4, 8] }],
    b: [EMBED],
    file: 'a/model.safetensors',
    tensor: 'embed.weight',
    says: '[4, 8]',
  },
  {
    code: 'E_SHAPE',
    place: 'average: rank',
    a: [{ ...NORM, shape: [1, 4] }],
    b: [NORM],
    file: 'a/model.safetensors',
    tensor: 'norm.weight',
  },
  {
    code: 'E_MIXED_DTYPES',
    place: 'average: older input',
    a: [{ ...EMBED, dtype: 'F32' }],
    b: [EMBED],
    file: 'a/model.safetensors',
    tensor: 'embed.weight',
    says: '--allow-mixed-dtypes',
  },
  {
    code: 'E_INTEGERS_DIFFER',
    place: 'average: integer tensor',
    a: [EMBED, COUNTS],
    b: [EMBED, OTHER_COUNTS],
    file: 'b/model.safetensors',
    tensor: 'counts',
    says: 'byte 9',
  },
  {
    code: 'E_INTEGERS_DIFFER',
    place: 'plan: boolean tensor',
    a: [{ name: 'mask', dtype: 'BOOL', shape: [3], data: Uint8Array.of(0, 1, 0) }],
    b: [{ name: 'mask', dtype: 'BOOL', shape: [3], data: Uint8Array.of(0, 1, 1) }],
    file: 'b/model.safetensors',
    tensor: 'mask',
  },
  {
    code: 'E_QUANTISED_UNSUPPORTED',
    place: 'average: F6_E3M2 tensor',
    a: [{ name: 'experts', dtype: 'F6_E3M2', shape: [8] }],
    b: [{ name: 'experts', dtype: 'F6_E3M2', shape: [8] }],
    file: 'a/model.safetensors',
    tensor: 'experts',
    says: 'FP6',
  },
  ...(['F8_E8M0', 'F4', 'C64'] as const).map((dtype): Pair => {
    const tensor: FixtureTensor = { name: 'experts', dtype, shape: [8] };
    const place = `average: ${dtype} tensor`;
    return { code: 'E_UNSUPPORTED_DTYPE', place, a: [tensor], b: [tensor], file: 'b/model.safetensors', tensor: 'experts', says: dtype };
  }),
  {
    code: 'E_UNSUPPORTED_DTYPE',
    place: 'average: float against integer',
    a: [{ ...NORM, dtype: 'I32' }],
    b: [NORM],
    file: 'a/model.safetensors',
    tensor: 'norm.weight',
    says: 'I32',
  },
  { code: 'E_CONFLICTS', place: 'average: several at once', a: [{ ...EMBED, shape: [4, 8] }], b: [EMBED, NORM], says: 'norm.weight' },
  { code: 'E_MIXED_DTYPES', place: 'average: fifteen tensors', a: many('F32'), b: many('BF16'), says: 'and 14 more alike' },
];

export const HOSTILE_CONFLICTS: readonly HostileCase[] = PAIRS.map(({ code, place, a, b, file, tensor, says, args = [] }) => ({
  code,
  exit: 3,
  place,
  what: 'inputs that do not fit each other',
  make: (folder) => {
    writeCheckpoint(join(folder, 'a'), [a], 1);
    writeCheckpoint(join(folder, 'b'), [b], 2);
    const command = place.slice(0, place.indexOf(':'));
    return { args: [command, 'a', 'b', '-o', 'out', ...args], ...(file && { file }), ...(tensor && { tensor }), ...(says && { says }) };
  },
}));
