import { shortDigest } from '../../../base/short-digest.ts';
import type { StoredState } from '../stored-state.ts';
import type { WatchRecord } from '../types.ts';

/** A model that has still to be scored, as the state of the watch has it: a merge, or a checkpoint alone. */
export type Waiting = StoredState['waiting'][number];

/** What is scored of a round: the checkpoint that its windows end at, and each of its merges. */
export function waitingOf(
  records: readonly WatchRecord[],
  { checkpoint, step, tokens, signature }: Pick<Waiting, 'checkpoint' | 'step' | 'tokens' | 'signature'>,
  digests: ReadonlyMap<string, string>,
): Waiting[] {
  const place = { checkpoint, step, tokens, signature, since: new Date().toISOString() };
  const alone = [{ name: checkpoint, step, tokens, weight: 1 }];
  return [
    { ...place, kind: 'single', output: null, digest: null, window: null, members: alone },
    ...records.map(({ output, members, window = null }): Waiting => {
      const digest = digests.get(output!)!;
      return { ...place, kind: 'merge', output: output!, digest, window, members };
    }),
  ];
}

/** What identifies a model among all that a watch scores: a merge goes by its plan, a checkpoint by how its files look. */
export function modelKey({ kind, checkpoint, signature, digest }: Pick<Waiting, 'kind' | 'checkpoint' | 'signature' | 'digest'>): string {
  return kind === 'merge' ? digest! : shortDigest(`${checkpoint} ${signature}`);
}

/** What people call it: the folder that it lies in. */
export function nameOf({ kind, checkpoint, output }: Pick<Waiting, 'kind' | 'checkpoint' | 'output'>): string {
  return kind === 'merge' ? output! : checkpoint;
}

/** Oldest first; of one endpoint the checkpoint alone comes before its merges. */
export function inOrder(waiting: readonly Waiting[]): Waiting[] {
  return waiting.toSorted((a, b) => a.step - b.step || a.since.localeCompare(b.since));
}
