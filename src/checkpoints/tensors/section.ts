import type { TensorTable } from './types.ts';

/**
 * What a tensor belongs to, where its container tells: the model, the optimizer's state, or bytes that only
 * the trainer understands. Tables hold indices into this list.
 */
export const SECTIONS = ['model', 'optimizer', 'blob'] as const;

export type TensorSection = (typeof SECTIONS)[number];

/** The section of a tensor. */
export function sectionOf({ sections }: Pick<TensorTable, 'sections'>, row: number): TensorSection {
  return sections === null ? 'model' : SECTIONS[sections[row]!]!;
}
