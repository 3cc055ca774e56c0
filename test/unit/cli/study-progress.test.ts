import { expect, it } from 'vitest';
import { studyProgress } from '../../../src/cli/terminal/study-progress.ts';
import type { StudyEvent, StudyProgress, Trial } from '../../../src/search/study/types.ts';
import { fakeTerminal } from '../../support/fake-terminal.ts';

const trial = (id: number, more: Partial<Trial> = {}): Trial => ({
  ...{ id, kind: 'trial', params: { lambda: 0.75 }, weights: [], parts: [], recipe: 'r', status: 'complete', score: 0.25, stderr: null },
  ...{ metrics: {}, source: null, reason: null, by: null, proposals: null, repeatOf: null, seconds: 2, mergeSeconds: 0, cost: null },
  time: '2026-12-01T00:00:00Z',
  ...more,
});
const progress: StudyProgress = { step: 5, of: 12, best: { trial: 3, score: 1.234 }, secondsLeft: 7230 };
const EVENTS: readonly StudyEvent[] = [
  { type: 'merging', trials: [4, 5], members: 2 },
  { type: 'evaluating', trial: 4, kind: 'trial', params: { lambda: 0.75 }, progress },
  { type: 'note', text: 'a note' },
  { type: 'warning', warning: { code: 'W_TOKENS', message: 'a warning' } },
  { type: 'trial', trial: trial(4) },
];

/** What a terminal shows in the end: what was erased is gone. */
function shown(text: string): string[] {
  return text.split('\n').map((line) => line.split('\r\u001b[K').at(-1)!);
}

function told(options: Parameters<typeof fakeTerminal>[0], events = EVENTS, quiet = false): string {
  const terminal = fakeTerminal(options);
  const lines = studyProgress(terminal, quiet);
  for (const event of events) lines.event(event);
  const { err } = terminal.written;
  lines.end();
  lines.end();
  return err;
}

it('draws on a terminal what is done now below what has ended', () => {
  expect(shown(told({ tty: true, columns: 120 }, EVENTS.slice(0, 2)))).toEqual([
    'evaluating trial 4 (5 of 12), best so far 1.23400 of trial 3, about 2 h 0 min left',
  ]);
  expect(shown(told({ tty: true, columns: 120 }))).toEqual([
    'a note',
    'warning[W_TOKENS]: a warning',
    'trial 4, lambda 0.75: 0.250000 (2.0 s)',
    'choosing what comes next, best so far 1.23400 of trial 3, about 2 h 0 min left',
  ]);
});

it('draws as much as fits beside the last column', () => {
  for (const [columns, line] of [
    [60, 'evaluating trial 4 (5 of 12), about 2 h 0 min left'],
    [40, 'evaluating trial 4 (5 of 12)'],
    [12, 'evaluating '],
  ] as const)
    expect(shown(told({ tty: true, columns }, EVENTS.slice(0, 2)))).toEqual([line]);
});

it('names several trials under way, and what is left when all have begun', () => {
  const at = (id: number): StudyEvent => ({
    ...{ type: 'evaluating', trial: id, kind: 'trial', params: null },
    progress: { step: id + 1, of: 5, best: null, secondsLeft: null },
  });
  const five = [0, 1, 2, 3, 4].map(at);
  expect(shown(told({ tty: true }, five))).toEqual(['evaluating trials 0, 1, 2 and 2 more (5 of 5)']);
  const ended = [0, 1, 2, 3, 4].map((id): StudyEvent => ({ type: 'trial', trial: trial(id) }));
  expect(shown(told({ tty: true }, [...five, ...ended])).at(-1)).toBe('finishing');
  expect(shown(told({ tty: true }, [{ type: 'evaluating', trial: 1, kind: 'trial', params: null, validation: true }]))).toEqual([
    'validating trial 1',
  ]);
});

it.each([
  ['no terminal', { tty: false }],
  ['a dumb one', { tty: true, env: { TERM: 'dumb' } }],
])('writes a line for each thing where there is %s', (_, options) => {
  expect(told(options).split('\n')).toEqual([
    'merging trials 4, 5 in one read',
    'evaluating trial 4 (5 of 12; best so far 1.23400 of trial 3; about 2 h 0 min left): lambda 0.75',
    'a note',
    'warning[W_TOKENS]: a warning',
    '  trial 4: 0.250000 (2.0 s)',
    '',
  ]);
});

it('says warnings alone where it is to be quiet', () => {
  expect(told({ tty: true }, EVENTS, true)).toBe('warning[W_TOKENS]: a warning\n');
});
