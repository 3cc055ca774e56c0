import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readMetricsFile, withMetrics } from '../../../src/checkpoints/run/metrics-file.ts';
import type { Run } from '../../../src/checkpoints/run/types.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { mergeError } from '../../support/safetensors.ts';

const folder = temporaryFolder();
afterAll(() => folder.remove());
let count = 0;
function written(text: string | Buffer): string {
  const path = join(folder.path, `metrics-${++count}`);
  writeFileSync(path, text);
  return path;
}
const read = async (text: string | Buffer) => Object.fromEntries(await readMetricsFile(written(text)));

describe('metrics by step', () => {
  it('are read from a CSV as spreadsheets and pandas write it', async () => {
    expect(await read('step,eval_loss,"mmlu, 5-shot"\r\n100,2.5,0.25\r\n200,,0.5\r\n\r\n300,NaN,1e-1\r\n')).toEqual({
      100: { eval_loss: 2.5, 'mmlu, 5-shot': 0.25 },
      200: { 'mmlu, 5-shot': 0.5 },
      300: { eval_loss: Number.NaN, 'mmlu, 5-shot': 0.1 },
    });
    expect(await read('\ufeffppl,Iteration\n8,10')).toEqual({ 10: { ppl: 8 } });
    // The same twice is no contradiction, and other metrics of a step may have a line of their own.
    expect(await read('step,a,b\n1,2,\n1,2,3\n')).toEqual({ 1: { a: 2, b: 3 } });
  });

  it('are read from what Megatron-LM prints, of a step that it repeats after a restart the last', async () => {
    const line = (step: number, loss: string) =>
      ` [2026-11-30 10:00:00] iteration ${String(step).padStart(8)}/   20000 | consumed samples:        25600 | elapsed time per iteration (ms): 812.4 | learning rate: 3.000000E-04 | global batch size:   256 | lm loss: ${loss} | loss scale: 1.0 | grad norm: 0.312 | number of skipped iterations:   0 |`;
    const text = [
      'building GPT model ...',
      line(100, '2.500000E+00'),
      '-------------------------------------------------------------------',
      ' validation loss at iteration 100 on validation set | lm loss value: 2.400000E+00 | lm loss PPL: 1.102318E+01 | ',
      line(200, '2.300000E+00'),
      line(200, '2.250000E+00'),
    ].join('\n');
    expect(await read(text)).toEqual({
      100: { 'lm loss': 2.5, 'loss scale': 1, 'grad norm': 0.312, 'validation lm loss': 2.4, 'validation lm loss PPL': 11.02318 },
      200: { 'lm loss': 2.25, 'loss scale': 1, 'grad norm': 0.312 },
    });
  });

  it('are read from what torchtitan prints, in colours', async () => {
    const text = [
      '[rank0]:[titan] 2026-11-30 10:00:00,123 - root - INFO - Training starts at step 1',
      '[rank0]:[titan] 2026-11-30 10:00:01,123 - root - INFO - \u001b[31mstep:   10 \u001b[32m loss:  7.8123 \u001b[38;2;1;1;1m grad_norm:  1.4142 \u001b[33m memory: 20.1GiB(42.2%)  \u001b[34mtps: 8,123  \u001b[36mtflops: 312.4  \u001b[35mmfu: 31.6%\u001b[39m',
      '[rank0]:[titan] 2026-11-30 10:00:02,123 - root - INFO - validate step:   10  loss:  7.5000  memory: 20.1GiB(42.2%)',
    ].join('\n');
    expect(await read(text)).toEqual({ 10: { loss: 7.8123, grad_norm: 1.4142, 'validation loss': 7.5 } });
  });

  it('go to the first checkpoint at or after their step', async () => {
    const at = (step: number) => ({ step, name: `checkpoint-${step}`, path: `run/checkpoint-${step}` });
    const run = { checkpoints: [at(100), at(200), at(300)] } as unknown as Run;
    const metrics = await readMetricsFile(written('step,a,b\n50,1,1\n90,2,\n200,3,\n310,9,\n'));
    expect(withMetrics(run, metrics).checkpoints.map((checkpoint) => checkpoint.metrics)).toEqual([{ a: 2, b: 1 }, { a: 3 }, {}]);
  });

  it.each([
    ['nothing', '', 'it is empty'],
    ['a first line alone', 'step,a\n', 'it has a first line and no other'],
    ['no column of steps', 'a,b\n1,2\n', 'neither a CSV with a column of steps nor a log'],
    ['one column', 'step\n1\n', 'neither a CSV'],
    ['one column twice', 'step,a,a\n1,2,3\n', 'line 1 names the column a twice'],
    ['very many columns', `step,${Array.from({ length: 250 }, (_, i) => `c${i}`).join()}\n`, 'line 1 has 251 columns'],
    ['a step that is none', 'step,a\nx,1\n', "line 2: 'x' is no step"],
    ['half a step', 'step,a\n1.5,1\n', "line 2: '1.5' is no step"],
    ['a step before 0', 'step,a\n-1,1\n', "line 2: '-1' is no step"],
    ['no number', 'step,a\n1,one\n', "line 2: a: 'one' is no number"],
    ['a field too many', 'step,a\n1,2,3\n', 'line 2: it has 3 fields, and the first line 2'],
    ['a step twice', 'step,a\n1,2\n1,3\n', 'line 3: step 1 is there twice, with a 2 and 3'],
    ['several at once', 'step,a\nx,1\n1,one\n', '2 lines cannot be used'],
    ['prose', 'once upon a time\n'.repeat(50), 'neither a CSV'],
    ['bytes', Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7919) % 256)), 'neither a CSV'],
  ] as const)('refuse a file with %s', async (_, text, message) => {
    const error = await mergeError(() => read(text as string));
    expect(error.code).toBe('E_METRICS_FILE');
    expect(error.message).toContain(message);
  });

  it('refuse a file that is not there, and a folder', async () => {
    expect((await mergeError(() => readMetricsFile(join(folder.path, 'none')))).code).toBe('E_NOT_FOUND');
    expect((await mergeError(() => readMetricsFile(folder.path))).code).toBe('E_NOT_READABLE');
  });
});
