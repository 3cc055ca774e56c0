import type { Conflict, ErrorCode } from '../../base/errors.ts';

/** Options by which a merge is made all the same, and the conflicts that each clears. */
const WAYS: readonly (readonly [option: string, codes: readonly ErrorCode[]])[] = [
  ['--allow-mixed-dtypes', ['E_MIXED_DTYPES', 'E_MIXED_QUANTISATION']],
  ['--allow-configs', ['E_CONFIG_DIFFERS']],
  ['--allow-stages', ['E_STAGES']],
  ['--allow-permuted', ['E_PERMUTED', 'E_LAYERS_SWAPPED']],
  [
    '--allow-unknown',
    [
      ...(['E_UNKNOWN_TENSOR', 'E_EXPERT_MISSING', 'E_EXPERT_EXTRA', 'E_EXPERT_SHAPE', 'E_ROUTER_SHAPE', 'E_ROUTER_MISSING'] as const),
      ...(['E_HALF_FUSED', 'E_LAYER_MISSING', 'E_CONFIG_TENSORS', 'E_TIED', 'E_QUANTISATION_CONFIG', 'E_SCALE_ORPHAN'] as const),
    ],
  ],
  ['--force', ['E_OUTPUT_EXISTS']],
];

/** What to do about conflicts of several kinds, where options clear all of them; of one kind its own help says it. */
export function waysThrough(conflicts: readonly Conflict[]): { readonly help?: string } {
  const codes = new Set(conflicts.map(({ code }) => code));
  const needed = WAYS.filter(([, cleared]) => cleared.some((code) => codes.has(code)));
  const cleared = new Set(needed.flatMap(([, of]) => of));
  if (codes.size < 2 || [...codes].some((code) => !cleared.has(code))) return {};
  const options = needed.map(([option]) => option).join(' ');
  return {
    help: `Merge checkpoints of one run and one architecture. Where all of this is meant, ${options} ${needed.length === 1 ? 'allows' : 'together allow'} it.`,
  };
}
