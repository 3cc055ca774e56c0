import { MergeError } from '../../base/errors.ts';
import { mapBounded } from '../../base/map-bounded.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import { gridOf } from '../../merge/grid/options.ts';
import { surveyGrid } from '../../merge/grid/survey.ts';
import type { GridOptions } from '../../merge/grid/types.ts';
import { plural } from '../../render/format.ts';
import { isLendable } from '../study/members.ts';
import { askedArms } from './arms.ts';
import { mergeKey, withoutResult } from './given.ts';

/** A model that is to be scored, and the name that its result goes by: see `scores` of `scoreGrid`. */
export interface GridModel {
  readonly name: string;
  readonly path: string;
  /** It is safetensors in one folder, as evaluators load it; `scoreGrid` makes that of every model. */
  readonly loadable: boolean;
}

/** Checkpoints of which the headers are read at a time. */
const OPENED_AT_ONCE = 8;
/** Names that a message shows. */
const SHOWN = 5;

/**
 * What another pipeline has to score of a grid that was made: each checkpoint that windows end at, newest first, and
 * every output. Plain means are among them where they are outputs; of equal merges there is one.
 * @param scores folder of results: what has one there is left out, under whatever of its names
 * @throws MergeError E_NOT_FOUND where outputs are not there; for the grid as {@link surveyGrid} does
 */
export async function gridModels(
  options: GridOptions,
  { signal, scores }: { readonly signal?: AbortSignal; readonly scores?: string | undefined } = {},
): Promise<readonly GridModel[]> {
  const grid = gridOf('gridModels', options);
  const survey = await surveyGrid({ grid, options, asked: { outputs: [] }, signal });
  const missing = survey.arms.flatMap(({ name, state }) => (state === 'there' ? [] : [name]));
  if (missing.length > 0) {
    const names = `${missing.slice(0, SHOWN).join(', ')}${missing.length > SHOWN ? ` and ${plural(missing.length - SHOWN, 'other')}` : ''}`;
    throw new MergeError('E_NOT_FOUND', `${options.output}: there is no ${names}`, {
      details: { file: options.output },
      help: 'Make the grid first, with the same command without --submit and what is about scores.',
    });
  }
  const asked = await askedArms(grid, survey, []);
  const arms = scores === undefined ? asked : await withoutResult(scores, asked, signal);
  const models = new Map<string, Omit<GridModel, 'loadable'>>();
  for (const arm of arms) {
    const { kind, is, members, path } = arm;
    const place = kind === 'newest' ? members[0]!.checkpoint?.path : path;
    // Equal merges have one result: two of them would differ by what evaluators leave to chance.
    if (kind !== 'mean' && place != null && !models.has(mergeKey(arm))) models.set(mergeKey(arm), { name: is[0]!.name, path: place });
  }
  return mapBounded([...models.values()], OPENED_AT_ONCE, async (model) => {
    signal?.throwIfAborted();
    return { ...model, loadable: isLendable(await openCheckpoint(model.path)) };
  });
}
