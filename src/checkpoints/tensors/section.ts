import type { TensorTable } from './types.ts';

/**
 * What a tensor belongs to, where its container tells: the model, the optimizer's state, or bytes that only
 * the trainer understands. Tables hold indices into this list.
 */
export const SECTIONS = ['model', 'optimizer', 'blob'] as const;

export type TensorSection = (typeof SECTIONS)[number];

/** What documents and tables call a section. */
export const SECTION_WORDS = {
  model: 'model',
  optimizer: 'optimizer',
  blob: 'training state',
} as const satisfies Readonly<Record<TensorSection, string>>;

export type SectionWords = (typeof SECTION_WORDS)[TensorSection];

/** The section of a tensor. */
export function sectionOf({ sections }: Pick<TensorTable, 'sections'>, row: number): TensorSection {
  return sections === null ? 'model' : SECTIONS[sections[row]!]!;
}

/**
 * Keys that a trainer may put its whole state under, or what is not the model, or its several optimizers:
 * those of Megatron with experts.
 */
const BELOW = '^(?:(?:app|(?:train(?:er|ing)?_|extra_)?state|train(?:er|ing)|extras?|meta|chained_\\d+)\\.)?';
/** What may follow a word for a part of it: `optimizer_states`, `optimizer_state_dict`, `optimizer_0`. */
const OF_STATE = '(?:_states?)?(?:_dicts?)?(?:_\\d+)?';
/** What trainers call the part of a state that is the optimizer's, at the beginning or under one key. */
const OPTIMIZER = new RegExp(`${BELOW}(?:opt|(?:\\w+_)?optim(?:izer)?s?)${OF_STATE}\\.`);
/**
 * Tensors of what else a trainer goes on from; Lightning keeps `callbacks`, `loops` and `hyper_parameters`.
 */
const STATE = new RegExp(
  `${BELOW}(?:(?:\\w+_)?schedulers?|(?:data_?)?loaders?|train(?:er)?_state|(?:\\w+_)?rng|random|(?:grad|amp|loss)_scalers?|callbacks|loops|hyper_parameters|rerun_state_machine\\w*)${OF_STATE}(?:[./]|$)`,
);

/** Letters of a name that tell: what is behind them is of no key that a trainer has. */
const LOOKED_AT = 1024;

/** What a tensor of that flat name is of. */
export function sectionOfName(name: string): TensorSection {
  // One of 64 KiB may be a million tensors' in a hostile file.
  const start = name.slice(0, LOOKED_AT);
  if (OPTIMIZER.test(start)) return 'optimizer';
  return STATE.test(start) ? 'blob' : 'model';
}
