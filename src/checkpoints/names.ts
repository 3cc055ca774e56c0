import type { Position } from './types.ts';

/**
 * Names that trainers and Hub repositories give to the checkpoints of a run, first match wins. All are
 * anchored at both ends, so that `step1000-merged` or `best-100` are nobody's step 1000. Groups: stage,
 * ingredient, step, tokens, and the unit of tokens. A third column gives the stage where it is a word.
 */
const NAMES: readonly (readonly [producer: string, pattern: RegExp, stage?: number])[] = [
  ['HF Trainer, accelerate, axolotl, LLaMA-Factory, TRL; `checkpoint-14750step` on the Hub', /^checkpoint[-_](?<step>\d+)(?:step)?$/],
  ['FineWeb ablations on the Hub: `step-001000-2BT`', /^step-(?<step>\d+)-(?<tokens>\d+)(?<unit>[KMBT])T$/],
  [
    'OLMo on the Hub: `stage2-ingredient3-step12000-tokens26B`; SmolLM3: `stage1-step-40000`; torchtitan, levanter, OLMo-core, Pythia: `step1000`',
    /^(?:stage(?<stage>\d+)-)?(?:ingredient(?<ingredient>\d+)-)?step[-_]?(?<step>\d+)(?:-tokens(?<tokens>\d+)(?<unit>[KMBT]))?$/,
  ],
  ['DeepSpeed, GPT-NeoX, verl', /^global_?step[-_]?(?<step>\d+)$/],
  ['OpenCoder on the Hub, before its anneal', /^pretrain_iter_(?<step>\d+)$/, 1],
  ['OpenCoder on the Hub, its anneal', /^anneal_iter_(?<step>\d+)$/, 2],
  ['Megatron-LM', /^iter(?:ation)?[-_](?<step>\d+)$/],
  ['LLM360 on the Hub', /^ckpt[-_](?<step>\d+)$/],
  ['Lightning, NeMo 1', /^epoch=\d+-step=(?<step>\d+)$/],
  ['nanotron, MaxText', /^(?<step>\d+)$/],
];

const TOKEN_UNITS: Readonly<Record<string, number>> = { K: 1e3, M: 1e6, B: 1e9, T: 1e12 };

/** A position whose step is known. */
export type NamedPosition = Position & { readonly step: number };

/**
 * The position that the name of a folder, or of a file without its extension, gives; null where it is the
 * name of no step.
 */
export function positionFromName(name: string): NamedPosition | null {
  for (const [, pattern, stage] of NAMES) {
    const groups = pattern.exec(name)?.groups;
    if (groups === undefined) continue;
    const step = Number(groups.step);
    if (!Number.isSafeInteger(step)) return null;
    return {
      stage: stage ?? integer(groups.stage),
      ingredient: integer(groups.ingredient),
      step,
      tokens: groups.tokens === undefined ? null : Number(groups.tokens) * TOKEN_UNITS[groups.unit!]!,
    };
  }
  return null;
}

function integer(digits: string | undefined): number | null {
  return digits === undefined ? null : Number(digits);
}

/** What a name says against a folder that may hold weights all the same, first match wins. */
const LEFT_OUT: readonly (readonly [pattern: RegExp, reason: string])[] = [
  [/(^|[._-])(tmp|temp|temporary|partial|incomplete)([._-]|$)/i, 'temporary, by its name: a save in progress or one that was interrupted'],
  [/^\./, 'hidden'],
  [/(^|[._-])ema([._-]|\d|$)/i, 'an average that the trainer kept (EMA), by its name'],
  [/(^|[._-])merged?([._-]|\d|$)/i, 'a merge, by its name'],
  [/(^|[._-])last([._-]|$)/i, 'a copy of the newest checkpoint, by its name'],
];

/**
 * Why a folder or file of this name is no checkpoint of the run; null where the name says nothing against it.
 */
export function reasonAgainstName(name: string): string | null {
  return LEFT_OUT.find(([pattern]) => pattern.test(name))?.[1] ?? null;
}

/**
 * The step that a name mentions somewhere, as `3000` in `tmp-checkpoint-3000`: for people to look at, not to
 * order by.
 */
export function stepMentioned(name: string): number | null {
  const digits = /(?:checkpoint|step|iter(?:ation)?|ckpt)[-_=]?(\d{1,15})/i.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}
