import { MergeError } from '../../base/errors.ts';
import { unitBytes } from '../output/journal.ts';
import { findPartials } from '../output/partial.ts';
import { emptyOnes, partialToResume, whyOther } from '../output/resume.ts';
import type { Plan, Resumption } from '../plan/types.ts';
import { publicationRequest } from './finalize.ts';

/** What carrying out a plan with `resume` would go on with. Nothing is taken over or removed. */
export async function resumptions(plan: Plan): Promise<Resumption[]> {
  const nothing = { partial: null, parts: 0, bytes: 0, left: [], removes: [] };
  const finished = plan.finished.map((output): Resumption => ({ output, what: 'finished', ...nothing }));
  const others = plan.outputs.map(async ({ path: output }, k): Promise<Resumption> => {
    const request = publicationRequest(plan, k, { resume: true });
    const found = await findPartials(output);
    try {
      const partial = partialToResume(found, request);
      const empty = emptyOnes(found, request, partial);
      const left = found.filter((p) => p !== partial && !empty.includes(p)).map((p) => ({ path: p.path, why: whyOther(p, request) }));
      const others = { left, removes: empty.map(({ path }) => path) };
      if (partial === null) return { output, what: 'begin', ...nothing, ...others };
      const { path, units } = partial;
      return { output, what: 'continue', partial: path, parts: units.size, bytes: unitBytes(units.values()), ...others };
    } catch (error) {
      if (!(error instanceof MergeError) || error.code !== 'E_BUSY') throw error;
      return { output, what: 'wait', ...nothing };
    }
  });
  return [...finished, ...(await Promise.all(others))];
}
