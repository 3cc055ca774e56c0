import type { DiffUnit } from './units.ts';

/** A tensor, and which of the layers or experts that it holds is meant, where its name does not say. */
export function unitWords({ name, layer, expert }: Pick<DiffUnit, 'name' | 'layer' | 'expert'>): string {
  const of = layer === null || name.includes(`.${layer}.`) ? '' : `, layer ${layer}`;
  return `${name}${of}${expert === null || name.includes(`.${expert}.`) ? '' : `, expert ${expert}`}`;
}
