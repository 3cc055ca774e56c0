import { join } from 'node:path';
import { onOutput } from '../../base/disk/io-error.ts';
import { makeFolder, READABLE } from '../../base/disk/make-folder.ts';
import { openOwn } from '../../base/disk/own-file.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { directionOf, UNSAID } from '../../checkpoints/results/goal.ts';
import { plainNumber } from '../../render/numbers.ts';
import { type StoredTrials, storedGoal, type TrialLine } from '../study/trials-file.ts';
import { eventRecord, scalarEvent, textEvent, versionEvent } from './event-records.ts';
import { ALONE, gainOver, placesOf, studyId } from './rows.ts';

/** Events are a function of the trials in their order: what is in a file is the beginning of it, and what is missing is added. */
function eventsOf(stored: StoredTrials, page: string): Buffer {
  const { identity, trials } = stored;
  if (trials.length === 0) return Buffer.alloc(0);
  const seconds = (trial: TrialLine) => Date.parse(trial.time) / 1000;
  const isAlong = identity.kind === 'grid' || identity.kind === 'watch' || identity.kind === 'forecast';
  const places = placesOf(stored);
  const goal = storedGoal(stored) ?? UNSAID;
  const events: Buffer[] = [versionEvent(seconds(trials[0]!))];
  const about = [
    `Evaluator: \`${identity.evaluator}\``,
    `Score: ${identity.metrics.join(' ') || 'one number'}`,
    `Page: [${page}](${page})`,
  ];
  events.push(textEvent(seconds(trials[0]!), 0, 'about', about.join('\n\n')));
  const singles = new Map<number, TrialLine>();
  const waiting = new Map<number, { readonly trial: TrialLine; readonly series: string }[]>();
  let best: number | null = null;
  for (const trial of trials) {
    const { name, series, step: end, tokens } = places(trial);
    const time = seconds(trial);
    const add = (tag: string, value: number): void => {
      events.push(scalarEvent(time, isAlong ? (end ?? 0) : trial.id, tag, value));
      if (isAlong && tokens !== null) events.push(scalarEvent(time, tokens, `by_tokens/${tag}`, value));
    };
    events.push(textEvent(time, isAlong ? (end ?? 0) : trial.id, `recipe/${series}`, recipeText(name, trial)));
    if (trial.score === null) continue;
    add(`score/${series}`, trial.score);
    if (trial.stderr !== null) add(`stderr/${series}`, trial.stderr);
    for (const [metric, value] of Object.entries(trial.metrics)) add(`metrics/${metric}/${series}`, value);
    if (!isAlong) {
      best = best === null || directionOf(goal).better(trial.score, best) ? trial.score : best;
      add('score/best so far', best);
      continue;
    }
    if (end === null) continue;
    // When the later of the two is there; of a checkpoint alone that comes after its merges, all that waited for it.
    if (series === ALONE) singles.set(end, trial);
    else waiting.set(end, [...(waiting.get(end) ?? []), { trial, series }]);
    const single = singles.get(end);
    if (single === undefined) continue;
    const fresh = waiting.get(end) ?? [];
    waiting.delete(end);
    for (const merge of fresh) {
      const gain = gainOver(merge.trial, single, merge.series, goal);
      if (gain === null) continue;
      add(`gain/${merge.series}`, gain.gain);
      if (gain.error !== null) add(`gain_error/${merge.series}`, gain.error);
    }
  }
  return Buffer.concat(events.map(eventRecord));
}

/** A table of members and weights, as markdown. */
function recipeText(name: string, { id, status, reason, weights }: TrialLine): string {
  const rows = weights
    .filter(({ weight }) => weight !== 0)
    .map(({ path, weight }) => `| ${cell(path.split('/').at(-1)!)} | ${plainNumber(weight, 6)} |`);
  const failed = status === 'complete' ? [] : [`${status}: ${cell(reason ?? '')}`, ''];
  return [`**${cell(name)}** (trial ${id})`, '', ...failed, '| checkpoint | weight |', '| --- | --- |', ...rows].join('\n');
}

const cell = (text: string) => text.replace(/[|\\`*_<>[\]\n\r]/g, (c) => (c === '\n' || c === '\r' ? ' ' : `\\${c}`));

/** Names of the event files of a study. */
export function eventFileName(stored: StoredTrials): string {
  const seconds = Math.floor(Date.parse(stored.trials[0]!.time) / 1000);
  return `events.out.tfevents.${String(seconds).padStart(10, '0')}.ckpt-merge.${studyId(stored)}`;
}

/**
 * Refuses a folder that has event files of anything else: TensorBoard shows the files of a folder as one run.
 * @throws MergeError E_OUTPUT_EXISTS
 */
export async function checkEventFolder(folder: string, own: string | null): Promise<void> {
  const names = await SYSTEM.fs.readdir(folder).catch(() => []);
  const other = names.find((name) => name.includes('tfevents') && name !== own);
  if (other === undefined) return;
  throw new MergeError('E_OUTPUT_EXISTS', `${folder} has an event file of another run, ${other}`, {
    details: { file: join(folder, other) },
    help: 'Name a folder of its own beside it, as --log tensorboard=runs/scores: TensorBoard shows both under the folder around them.',
  });
}

/**
 * Adds to the event file what it lacks.
 * @throws MergeError E_OUTPUT_EXISTS where what is in it is no beginning of these events; of the side of outputs
 */
export async function appendEvents(folder: string, stored: StoredTrials, page: string): Promise<void> {
  const events = eventsOf(stored, page);
  if (events.length === 0) return;
  const name = eventFileName(stored);
  await checkEventFolder(folder, name);
  const file = join(folder, name);
  await onOutput('create', folder, () => makeFolder(folder, READABLE));
  await onOutput('write', file, async () => {
    const reader = await openOwn(SYSTEM, file, 'read').catch(() => null);
    const there = reader === null ? Buffer.alloc(0) : await reader.readFile().finally(() => reader.close());
    if (there.length > events.length || !events.subarray(0, there.length).equals(there)) {
      throw new MergeError('E_OUTPUT_EXISTS', `${file} does not go on with these trials: they were other ones when it was written`, {
        details: { file },
        help: 'Move it away, or name another folder: it is written anew from the trials.',
      });
    }
    if (there.length === events.length) return;
    const handle = await openOwn(SYSTEM, file, 'append');
    try {
      // What a kill tore is gone on with where it ends.
      await handle.appendFile(events.subarray(there.length));
    } finally {
      await handle.close();
    }
  });
}
