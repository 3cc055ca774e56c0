import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { evaluate } from '../../src/evaluate/command.ts';
import { readScore } from '../../src/evaluate/score.ts';
import { scoreDifference } from '../../src/routers/evaluation.ts';
import { mergeError, temporaryFolder } from '../support/safetensors.ts';

describe('the score in an output', () => {
  it.each([
    ['1.25\n', { score: 1.25, stderr: null, items: null }],
    ['loading\nstep 3\n-2e-3\nbye\n', { score: -0.002, stderr: null, items: null }],
    ['1\n2\n\n  3 \r\n', { score: 3, stderr: null, items: null }],
    ['{"score": 0.5, "stderr": 0.01}', { score: 0.5, stderr: 0.01, items: null }],
    ['7\n{"loss": 3}\n{"score": 0.5, "items": [0.4, 0.6], "stderr": null}\n{', { score: 0.5, stderr: null, items: [0.4, 0.6] }],
    ['{"score": 1, "stderr": -1, "items": [1, null]}', { score: 1, stderr: null, items: null }],
  ])('of %j', (output, score) => {
    expect(readScore(output)).toEqual(score);
  });

  it.each(['', 'loss: 1.25', 'nan', 'inf', '{"score": "1"}', '{"score": null}', '[1]', '0x10', '1.2.3'])('is not there in %j', (output) => {
    expect(readScore(output)).toBeNull();
  });
});

describe('an evaluator', () => {
  const options = {};

  it('gets the model where {model} stands, or at its end, quoted, and in the environment', async () => {
    const model = join(temporaryFolder(), "a model's $(folder)");
    const seen = join(temporaryFolder(), 'seen');
    const write = `printf '%s\\n' "$MERGE_MODEL" >> '${seen}'; echo 1`;
    expect(await evaluate(`sh -c 'printf "%s\\n" "$1" > ${seen}' - {model}; ${write}; true`, model, options)).toMatchObject({ score: 1 });
    await evaluate(`f() { echo "$1" >> ${seen}; echo 2; }; f`, model, options);
    expect(readFileSync(seen, 'utf8')).toBe(`${model}\n${model}\n${model}\n`);
  });

  it.each([
    ['echo 1.5; echo working >&2; exit 3; :', 'it ended with exit code 3', 'the end of its output:\n1.5'],
    [
      'i=0; while [ $i -lt 20 ]; do i=$((i+1)); echo line$i; done; :',
      'it printed no score',
      'the end of its output:\nline16\nline17\nline18\nline19\nline20',
    ],
    ['true', 'it printed no score', 'it printed nothing on stdout'],
    ['/nowhere/evaluate.sh', 'it ended with exit code 127', 'it printed nothing on stdout'],
    ['kill -9 $$; :', 'it ended with exit code 137', ''],
  ])('that fails says how: %s', async (command, what, shown) => {
    const error = await mergeError(() => evaluate(command, 'model', options));
    expect(error.code).toBe('E_EVALUATOR');
    expect(error.message).toContain(what);
    expect(error.message).toContain(shown);
    expect(error.message).toContain(`$ ${command}`);
  });

  it('that takes too long is ended with all that it started', async () => {
    const pids = join(temporaryFolder(), 'pids');
    const error = await mergeError(() => evaluate(`sleep 60 & echo $! > ${pids}; echo 5; wait; :`, 'model', { timeout: 300 }));
    expect(error).toMatchObject({ code: 'E_EVALUATOR', message: expect.stringContaining('it took longer than 0.3 s') });
    const pid = Number(readFileSync(pids, 'utf8'));
    // It is gone once whoever adopted it has looked.
    for (let i = 0; i < 100 && alive(pid); i++) await setTimeout(20);
    expect(alive(pid)).toBe(false);
  });

  it('is ended by an abort, which passes through', async () => {
    const reason = new Error('enough');
    const controller = new AbortController();
    const running = evaluate('sleep 60; :', 'model', { signal: controller.signal });
    controller.abort(reason);
    await expect(running).rejects.toBe(reason);
  });

  it('may leave something running that keeps its output open', async () => {
    expect(await evaluate('sleep 4 & echo 8; :', 'model', options)).toMatchObject({ score: 8 });
  });
});

describe('the difference of two scores', () => {
  it('is paired where both have the same items: 1, 2, 4 less 1, 1, 1 is 4/3 ± √(7/9)', () => {
    const a = { score: 1, stderr: 0.3, items: [1, 1, 1] };
    const { mean, error, paired } = scoreDifference(a, { score: 7 / 3, stderr: 0.4, items: [1 + 0, 1 + 1, 1 + 3] });
    expect(paired).toBe(true);
    expect(mean).toBeCloseTo(4 / 3, 12);
    expect(error).toBeCloseTo(Math.sqrt(7 / 9), 12);
  });

  it('has the errors of both where there are no pairs, and none where one is missing', () => {
    const a = { score: 1, stderr: 0.3, items: [1, 1, 1] };
    expect(scoreDifference(a, { score: 3, stderr: 0.4, items: [3, 3] })).toEqual({ mean: 2, error: 0.5, paired: false });
    expect(scoreDifference(a, { score: 3, stderr: null, items: null })).toEqual({ mean: 2, error: null, paired: false });
  });
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}
