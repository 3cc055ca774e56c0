import { resolve } from 'node:path';
import { onOutput } from '../../base/disk/io-error.ts';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { temporaryFolder } from '../../base/disk/temporary-folder.ts';
import type { Warning } from '../../base/errors.ts';
import { mapBounded } from '../../base/map-bounded.ts';
import { fingerprint } from '../../checkpoints/fingerprint.ts';
import type { Members } from '../../merge/members/of-recipe.ts';
import { difference } from '../../search/conclusion/difference.ts';
import type { Candidate } from '../../search/space/types.ts';
import type { StudyMembers } from '../../search/study/members.ts';
import { commandText, type EvaluationSettings } from '../../search/study/scorer.ts';
import { openSession, refuseInsideInputs, type StudyRequest } from '../../search/study/session.ts';
import type { RoundTrial } from '../../search/study/trials.ts';
import type { StudyEvent } from '../../search/study/types.ts';
import type { Evaluation, RouterVariant } from './types.ts';

/** How merges are scored: as `search` does it, with the same names. */
export interface EvaluationOptions extends EvaluationSettings, Pick<StudyRequest, 'work' | 'keep'> {}

/** The averaged weights with averaged routers, and with those of one member. */
const MERGED = ['average', 'newest', 'oldest'] as const satisfies readonly RouterVariant[];
const FINGERPRINTS_AT_ONCE = 8;

/**
 * Scores the newest checkpoint as it is, and averaged weights with averaged routers, with the newest member's
 * and with the oldest's: a study of three candidates, merged in one read. Its folder, in `work` or the
 * current one, is removed afterwards unless merges are kept.
 *
 * @param found members of the merge, with their weights
 * @throws MergeError E_EVALUATOR where one of them gets no score, and whatever options, scoring and merging
 *   throw; `signal.reason` on an abort
 */
export async function evaluateRouters(
  options: EvaluationOptions & Omit<StudyRequest, 'dir'>,
  found: Members,
  emit: (event: StudyEvent) => void,
  signal: AbortSignal,
): Promise<{ readonly evaluation: Evaluation; readonly warnings: readonly Warning[] }> {
  const { work = '.', keep } = options;
  const members = await studied(found);
  await refuseInsideInputs({ dir: work, work }, members);
  const dir = await onOutput('create a folder in', resolve(work), () => temporaryFolder(resolve(work), '.merge-routers-'));
  try {
    const own = { kind: 'routers', legs: [], noise: 'shared', sampler: 'routers', seed: 0 } as const;
    // What is kept stands with its logs and results.
    const session = await openSession({ ...options, dir, work: keep ? dir : options.work }, members, own, { emit, signal, whole: true });
    try {
      const { study } = session;
      const [unmerged, ...merged] = requestsOf(found);
      // The newest by itself: it shows whether the evaluator works before anything is merged.
      const round = (first: number, requests: readonly RoundTrial[]) => study.round(first, requests, signal, undefined, MERGED.length + 1);
      const trials = [...(await round(0, [unmerged!])), ...(await round(1, merged))];
      const scored = trials.map(({ score, ...trial }, i) => ({ ...trial, score: score!, router: (['unmerged', ...MERGED] as const)[i]! }));
      const [newest, averaged, ...others] = scored;
      const shown = [averaged!, ...others, newest!];
      return {
        evaluation: {
          command: commandText(options.eval),
          goal: session.goal(),
          scores: shown.map(({ router, score, stderr, items, seconds }) => ({
            ...{ router, score, stderr, seconds },
            items: items?.reduce((sum, { scores }) => sum + scores.length, 0) ?? null,
          })),
          differences: [...others, newest!].map(({ router, ...trial }) => {
            const { gain, error, paired } = difference(trial, averaged!, 'maximize');
            return { router: router as Exclude<RouterVariant, 'average'>, mean: gain, error, paired };
          }),
        },
        warnings: study.warnings,
      };
    } finally {
      await session.close();
      if (keep) emit({ type: 'note', text: `merges, logs and results are in ${dir}` });
    }
  } finally {
    if (!keep) await removeTree(SYSTEM, dir);
  }
}

async function studied({ members, checkpoints, report }: Members): Promise<StudyMembers> {
  const all = await mapBounded(checkpoints, FINGERPRINTS_AT_ONCE, async (checkpoint) => {
    const { step, tokens } = members[checkpoints.indexOf(checkpoint)]!;
    return { path: checkpoint.path, step, tokens, fingerprint: await fingerprint(checkpoint), checkpoint };
  });
  const pool = all.map((_, m) => m);
  return { all, pool, last: pool, siblings: false, report, warnings: [] };
}

function requestsOf({ members }: Members): readonly RoundTrial[] {
  const weights = members.map(({ weight }) => weight);
  const common = { point: null, leg: 0 };
  const newest: Candidate = { weights: weights.map((_, m) => (m === weights.length - 1 ? 1 : 0)), parts: [] };
  return [
    { ...common, kind: 'newest', params: null, candidate: newest },
    ...MERGED.map((router): RoundTrial => {
      // Averaged is what routers are where nothing is said, and tables of tokens, which cannot be, are equal.
      const candidate = { weights, parts: [], ...(router === 'average' ? {} : { router }) };
      return { ...common, kind: 'trial', params: { router }, candidate };
    }),
  ];
}
