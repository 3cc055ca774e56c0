import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { WatchOptions } from '../../src/index.ts';
import { mergeError } from '../support/safetensors.ts';
import { freshRuns } from '../support/watched-run.ts';
import { mergesIn } from '../support/watching.ts';

const fresh = freshRuns();
const at = (...parts: string[]) => fresh().at(...parts);
const save = (first: number, last?: number) => fresh().save(first, last);
const once = (more?: Partial<WatchOptions>) => fresh().once(more);
const document = () => fresh().document();
const lines = () => fresh().lines();

const FAILING: readonly [what: string, command: string, reason: string, more?: Partial<WatchOptions>][] = [
  ['that fails', 'echo "CUDA out of memory" >&2; exit 3', 'exit code 3: CUDA out of memory'],
  ['that is not there', 'no-such-evaluator', 'exit code 127'],
  ['that is killed', 'kill -9 $$', 'SIGKILL'],
  ['that hangs', 'sleep 100; : {model}', '0.3 s', { timeout: 0.3 }],
  ['that prints nothing', 'true {model}', 'it printed no score'],
  ['that prints garbage', 'head -c 3000 /dev/zero; : {model}', 'no score'],
  ['that prints no number', 'echo score pending; : {model}', "'score pending'"],
  ['whose score is not finite', 'echo nan; : {model}', 'NaN or infinite'],
  ['whose JSON has no score', `echo '{"loss": 1}'; : {model}`, 'score'],
  ['whose regular expression finds nothing', 'echo 1; : {model}', 'loss=', { metricRegex: 'loss=(\\S+)' }],
  ['whose file is not there', 'true {model}', 'none.json', { metricFile: 'none.json' }],
  ['that changes the model', 'chmod 600 "$MERGE_MODEL"/*.safetensors; echo 1', 'had its mode changed'],
];

describe('an evaluator in a watch', () => {
  it.each(FAILING)('%s leaves a model without a score, and the watch goes on', async (_, command, reason, more) => {
    save(1, 2);
    const { summary, of } = await once({ eval: command, goal: 'minimize', ...more });
    expect(summary.merges).toHaveLength(1);
    expect(of('unscored').map(({ name }) => name)).toEqual(['checkpoint-200', 'merged-checkpoint-200']);
    expect(of('unscored')[0]!.reason).toContain(reason);
    expect(summary.failed).toHaveLength(2);
    expect(document().endpoints.every(({ single }: { single: { score: null } | null }) => single === null || single.score === null)).toBe(
      true,
    );
    expect(readFileSync(at('merges/scores/live.html'), 'utf8')).toContain('What has no score');
  });

  it('whose metric nobody knows ends the watch, after the merges', async () => {
    save(1, 2);
    const command = `echo '{"score": 1, "metrics": {"acc": 1}}'; : {model}`;
    const error = await mergeError(() => once({ eval: command, goal: 'minimize', metrics: [{ name: 'accuracy', weight: 1 }] }));
    expect(error.code).toBe('E_METRIC');
    expect(mergesIn(at('merges'))).toEqual(['merged-checkpoint-200']);
  });
});

const REFUSED: readonly [what: string, more: Partial<WatchOptions>, code: string, message: string][] = [
  ['two sources of scores', { eval: 'true', scores: 'given' }, 'E_OPTION', '`eval` and `scores` both say where scores come from'],
  ['an option of nothing', { metrics: [{ name: 'acc', weight: 1 }] }, 'E_OPTION', 'metrics is about scores, and nothing is scored'],
  ['several of nothing', { parallel: 2, dir: 'd' }, 'E_OPTION', 'are about scores, and nothing is scored'],
  [
    'calibration of one step twice',
    {
      eval: 'true',
      calibrate: [
        { step: 1, score: 1 },
        { step: 1, score: 2 },
      ],
    },
    'E_OPTION',
    'calibrate names step 1 twice',
  ],
  ['no evaluations at a time', { eval: 'true', parallel: 0 }, 'E_OPTION', 'parallel'],
  [
    'too few devices',
    { eval: 'true', parallel: 3, gpus: ['0'] },
    'E_OPTION',
    '3 evaluations at a time need as many devices, and gpus names 1',
  ],
  ['an unknown placeholder', { eval: 'score {modell}' }, 'E_USAGE', 'modell'],
];

describe('what a watch refuses of scores', () => {
  it.each(REFUSED)('%s', async (_, more, code, message) => {
    save(1, 2);
    const error = await mergeError(() => once(more));
    expect(`${error.code}: ${error.message}`).toContain(message);
    expect(error.code).toBe(code);
    expect(existsSync(at('merges', 'scores'))).toBe(false);
  });

  it.each([
    ['dir', () => ({ dir: at('run', 'scores') }), 'E_OUTPUT_OVERLAPS_INPUT', 'lies in the run'],
    ['dir', () => ({ dir: at('merges') }), 'E_OPTION', 'dir must be a folder of its own'],
    ['dir', () => ({ dir: at() }), 'E_OPTION', 'dir must be a folder of its own'],
    ['work', () => ({ work: at('run', 'work') }), 'E_OUTPUT_OVERLAPS_INPUT', 'work'],
    ['scores', () => ({ scores: at('run') }), 'E_OPTION', 'scores must be a folder of its own'],
  ] as const)('%s in the place of something else', async (option, more, code, message) => {
    save(1, 2);
    const error = await mergeError(() => once({ ...(option !== 'scores' && { eval: 'true' }), ...more() }));
    expect(error.code).toBe(code);
    expect(error.message).toContain(message);
  });

  it('another evaluator, whose scores could not be compared', async () => {
    save(1, 2);
    await once({ eval: 'echo 1; : {model}', goal: 'minimize' });
    const error = await mergeError(() => once({ eval: 'echo 2; : {model}', goal: 'minimize' }));
    expect(error.code).toBe('E_SEARCH_STATE');
    expect(error.message).toContain('evaluator: echo 1; : {model} then, echo 2; : {model} now');
  });

  it('scores of which nothing says whether larger ones are better, which are kept', async () => {
    save(1, 2);
    const error = await mergeError(() => once({ eval: 'echo 1; : {model}' }));
    expect(error.code).toBe('E_GOAL');
    expect(lines()).toHaveLength(1);
    const { of } = await once({ eval: 'echo 1; : {model}', goal: 'minimize' });
    expect(of('scored')).toMatchObject([{ kind: 'merge', single: 1 }]);
  });
});
