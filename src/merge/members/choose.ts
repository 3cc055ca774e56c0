import { MergeError } from '../../base/errors.ts';
import { formatQuantity } from '../../checkpoints/run/quantity.ts';
import type { Run, RunCheckpoint } from '../../checkpoints/run/types.ts';
import { PLACEHOLDER } from '../../recipe/file/contradictions.ts';
import { pmaPreset } from '../../recipe/preset/pma.ts';
import { readMemberScores } from '../../recipe/select/scored.ts';
import { selectMembers, windowOf } from '../../recipe/select/select.ts';
import { selectionProblems } from '../../recipe/select/select-check.ts';
import type { Selected, Selection } from '../../recipe/select/types.ts';
import type { RecipeOutput } from '../../recipe/types.ts';

/** The members of an output of a run, and the path that they give it. */
export interface Chosen {
  readonly path: string;
  readonly selected: Selected;
}

/**
 * What an output of a recipe takes from its runs: one choice, or with `sliding` one for every window.
 * @throws MergeError E_OPTION where preset or windows ask for what the runs do not have; what
 *   {@link selectMembers} and {@link pmaPreset} throw
 */
export async function chooseMembers(runs: readonly Run[], output: RecipeOutput): Promise<readonly Chosen[]> {
  if (output.sliding) return slide(runs, output);
  const selected = output.preset === 'pma' ? await preset(runs, output) : await chosenOf(runs, output.select ?? {});
  const all =
    output.preset === undefined &&
    !selected.siblings &&
    Object.keys(output.select ?? {}).length === 0 &&
    runs.some((run) => run.checkpoints.length > 1);
  const notes = all ? [`no selection: all ${selected.members.length} complete checkpoints take part`, ...selected.notes] : selected.notes;
  return [{ path: fillIn(output.path, selected.members.at(-1)!), selected: { ...selected, notes } }];
}

async function chosenOf(runs: readonly Run[], select: Selection): Promise<Selected> {
  // What contradicts itself is told before any file is read.
  const sound = selectionProblems(select, runs.length).length === 0;
  return selectMembers(runs, select, { scores: sound ? await readMemberScores(select) : null });
}

async function preset([run, ...others]: readonly Run[], { select }: RecipeOutput): Promise<Selected> {
  if (others.length > 0) {
    throw new MergeError('E_OPTION', `the preset pma is for one run, and there are ${others.length + 1}`, {
      help: 'Sibling runs are merged by their mean: leave the preset out.',
    });
  }
  const { selection, notes } = await pmaPreset(run!, select);
  // A number that is the preset's is the most that it takes.
  const selected = selectMembers([run!], selection, { exact: select?.last !== undefined });
  return { ...selected, notes: [...notes, ...selected.notes] };
}

/** One choice for every `last` neighbours among what the other conditions leave. */
function slide(runs: readonly Run[], { path, select = {} }: RecipeOutput): Chosen[] {
  const { last: width = 1, ...conditions } = select;
  const base = selectMembers(runs, conditions);
  const { members } = base;
  if (base.siblings) throw new MergeError('E_OPTION', 'sliding windows need one run: siblings have no order to slide along');
  if (members.length < width) {
    throw new MergeError('E_OPTION', `a window of ${width} checkpoints does not fit: the selection leaves ${members.length}`, {
      help: `Ask for a window of at most ${members.length}, or select more.`,
    });
  }
  return Array.from({ length: members.length - width + 1 }, (_, start) => {
    const selected = windowOf(runs[0]!, base, start, width);
    return { path: fillIn(path, selected.members.at(-1)!), selected };
  });
}

/** The path of an output with the newest member's step and tokens in it. */
function fillIn(path: string, newest: RunCheckpoint): string {
  return path.replace(PLACEHOLDER, (_, name: 'step' | 'tokens') => {
    const value = newest[name];
    if (value === null) {
      throw new MergeError(
        'E_OPTION',
        `${path} has {${name}} in it, and the ${name === 'step' ? 'step' : 'tokens'} of ${newest.path} are not known`,
        {
          details: { file: newest.path },
          help: name === 'tokens' ? 'Say where tokens come from (--tokens-per-step), or use {step}.' : 'Name the output without {step}.',
        },
      );
    }
    return name === 'step' ? String(value) : formatQuantity({ value, unit: 'tokens' });
  });
}
