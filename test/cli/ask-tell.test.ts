import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/checkpoints.ts';
import { runCli } from '../support/run-cli.ts';
import { SCORE_WEIGHTS, weightedRun } from '../support/weighted-run.ts';

const temporary = temporaryFolder();
afterAll(temporary.remove);
const run = weightedRun(join(temporary.path, 'run'), 4);

interface Answer {
  readonly trial?: number;
  readonly kind?: string;
  readonly status?: string;
  readonly model?: string | null;
  readonly score?: number | null;
  readonly params?: { readonly lambda: number } | null;
  readonly told?: number;
  readonly best?: number | null;
  readonly error?: { readonly code: string; readonly message: string };
  readonly conclusion?: { readonly text: string; readonly best: { readonly params: { readonly lambda: number } } | null };
}

async function drive(
  output: string,
  messages: readonly object[],
  options: readonly string[],
): Promise<{ code: number; answers: Answer[]; stderr: string }> {
  const input = messages.map((message) => `${JSON.stringify(message)}\n`).join('');
  const args = ['search', run, '--last', '2', '--ask-tell', '-o', output, '--goal', 'maximize', ...options];
  const { code, stdout, stderr } = await runCli(args, { cwd: temporary.path, input });
  return {
    code,
    answers: stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Answer),
    stderr,
  };
}

describe('merge search --ask-tell', () => {
  it('hands out baselines and proposals, several at a time, to a driver that scores them', async () => {
    const messages = [
      { ask: 4 },
      { tell: 2, score: 0.7 },
      { tell: 0, score: 0.5 },
      { tell: 1, score: 0.6 },
      { tell: 3, status: 'failed', reason: 'out of memory' },
      { ask: 1, params: { lambda: 0.8 } },
      { tell: 4, score: 0.9 },
      { tell: 4, score: 0.9 },
      { ask: 1, params: { lambda: 2 } },
      { best: 1 },
    ];
    const { code, answers, stderr } = await drive('scored', messages, []);
    expect(code, stderr).toBe(0);
    const asked = answers.filter(({ status }) => status === 'open');
    expect(asked.map(({ kind }) => kind)).toEqual(['newest', 'uniform', 'sma', 'trial', 'trial']);
    // A folder of its own: the driver may remove it.
    expect(asked[0]!.model).toMatch(/model-0000-[0-9a-f]{12}$/);
    expect(answers.filter(({ told }) => told !== undefined).map(({ told, best }) => [told, best])).toEqual([
      [2, 2],
      [0, 2],
      [1, 2],
      [3, 2],
      [4, 4],
    ]);
    expect(answers.flatMap(({ error }) => error?.code ?? [])).toEqual(['E_PROTOCOL', 'E_PROTOCOL']);
    expect(answers.at(-1)!.conclusion!.best!.params.lambda).toBe(0.8);
    const trials = readFileSync(join(temporary.path, 'scored.search/trials.jsonl'), 'utf8').trim().split('\n');
    expect(trials).toHaveLength(5);
  });

  it('scores what a driver proposes with its own evaluator, and scores a recipe again without merging it again', async () => {
    const messages = [{ ask: 2, params: [{ lambda: 0.7 }, { lambda: 0.9 }] }, { ask: 1, params: { lambda: 0.7 } }, { stop: 1 }];
    const { code, answers, stderr } = await drive('driven', messages, ['--eval', `${SCORE_WEIGHTS} 0.3,0.7`]);
    expect(code, stderr).toBe(0);
    const scores = answers
      .filter(({ kind }) => kind === 'trial')
      .map(({ params, score }) => [params!.lambda, Math.round(score! * 100) / 100]);
    expect(scores).toEqual([
      [0.7, 1],
      [0.9, 0.92],
      [0.7, 1],
    ]);
    // Uniform mean and SMA, then the two of the driver; the third is not merged.
    expect(stderr.match(/^merging .*$/gm)).toHaveLength(2);
    expect(answers.at(-1)!.conclusion!.best!.params.lambda).toBe(0.7);
  });

  it('ends with a conclusion also where the driver told nothing', async () => {
    const { code, answers } = await drive('nothing', [{ ask: 1 }], []);
    expect(code).toBe(1);
    expect(answers.at(-1)!.conclusion).toMatchObject({ best: null, text: expect.stringContaining('none was tried') });
  });
});
