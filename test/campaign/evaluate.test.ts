import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { LogFile } from '../../src/base/disk/log-file.ts';
import { speakTo } from '../../src/base/option-words.ts';
import { Evaluator, type Outcome } from '../../src/search/evaluate/evaluator.ts';
import { evaluation } from '../support/evaluating.ts';
import { mergeError, temporaryFolder } from '../support/safetensors.ts';

// Messages are of the command line here.
beforeAll(() => speakTo('command line'));
afterAll(() => speakTo('library'));

describe('an evaluator', () => {
  it('is told model, folder, trial and file in words and in the environment', async () => {
    const model = join(temporaryFolder(), "a model's $(folder)");
    const command = `printf '%s\\n' {model} {out} {trial} "[{gpu}]" > {out}/seen; printf '%s\\n' "$MERGE_MODEL" "$MERGE_OUT" "$MERGE_TRIAL" "[$MERGE_GPU]" "$MERGE_RESULT" >> {out}/seen; echo 1.5`;
    const { outcome, log, folder } = await evaluation({ command }, { model });
    const out = join(folder, 'out', '1');
    const given = [model, out, '7', '[]'];
    const seen = readFileSync(join(out, 'seen'), 'utf8').split('\n');
    expect(seen.slice(0, 8)).toEqual([...given, ...given]);
    expect(seen[8]!.startsWith(`${out}/`)).toBe(true);
    expect(outcome).toMatchObject({ status: 'complete', attempts: 1, score: { score: 1.5, stderr: null, items: null, cost: null } });
    expect(log).toMatch(/^\$ export MERGE_MODEL='.*; printf .*\n1\.5\n$/);
  });

  it('may be a program and its arguments, which no shell reads', async () => {
    const script = 'console.log(process.argv[1] === "/$(model)" && process.argv[2] === "a b" && process.argv.length === 3 ? 2 : 1)';
    const { outcome } = await evaluation({ command: [process.execPath, '-e', script, '{model}', 'a b'] }, { model: '/$(model)' });
    expect(outcome).toMatchObject({ status: 'complete', score: { score: 2 } });
    const { outcome: missing } = await evaluation({ command: ['/nowhere/evaluate', '{model}'] });
    expect(missing).toMatchObject({ status: 'failed', reason: 'it ended with exit code 127' });
    expect(tailOf(missing).at(-1)).toMatch(/^could not start \/nowhere\/evaluate: .*ENOENT/);
    const { outcome: long } = await evaluation({ command: `: ${'x'.repeat(2 ** 22)}` });
    expect(tailOf(long).at(-1)).toMatch(/^could not start sh: .*E2BIG/);
  });

  it('may write its score into a file, and say what it cost', async () => {
    const command = `echo 3; echo MERGE_COST=2.5 >&2; echo '{"score": 4, "stderr": 0.5, "items": [3, 5]}' > "$MERGE_RESULT"; :`;
    const { outcome } = await evaluation({ command });
    expect(outcome).toMatchObject({
      status: 'complete',
      score: { score: 4, stderr: 0.5, cost: 2.5, items: [{ scores: [3, 5], weight: 1 }] },
    });
  });

  it.each([
    ['echo 1.5; echo working >&2; exit 3; :', 'it ended with exit code 3', ['1.5', 'working']],
    ['echo loading; :', /^it printed no score \(nothing in \$MERGE_RESULT; no result file .*\)$/, ['loading']],
    ['true', /no score/, []],
    ['/nowhere/evaluate.sh', 'it ended with exit code 127', [expect.stringMatching(/not found/)]],
    ['kill -9 $$; :', 'it ended with exit code 137 (SIGKILL, often for want of memory)', []],
    ['sh -c "kill -SEGV \\$\\$"; exit $?; :', 'it ended with exit code 139 (SIGSEGV)', expect.anything()],
    ['echo nan; :', /NaN or infinite/, ['nan']],
    ['echo 1; echo inf; :', /NaN or infinite/, ['1', 'inf']],
    [`echo '{"score": NaN}'; :`, /NaN/, ['{"score": NaN}']],
    ['echo 1 > /dev/null; exit 125; :', 'it ended with exit code 125 (skip)', []],
  ])('that gives no score says why: %s', async (command, reason, tail) => {
    const { outcome, folder } = await evaluation({ command });
    const matching = typeof reason === 'string' ? reason : expect.stringMatching(reason);
    const status = command.includes('125') ? 'skipped' : 'failed';
    expect(outcome).toMatchObject({ status, reason: matching, attempts: 1 });
    const shown = tailOf(outcome);
    if (Array.isArray(tail)) expect(shown).toEqual(tail);
    expect(readdirSync(join(folder, 'out'))).toEqual([]);
  });

  it('shows the last 20 lines of what it printed', async () => {
    const { outcome } = await evaluation({ command: 'i=0; while [ $i -lt 50 ]; do i=$((i+1)); echo line$i; done; exit 1; :' });
    expect(outcome).toMatchObject({ tail: Array.from({ length: 20 }, (_, i) => `line${31 + i}`) });
  });

  it('that asks for it is tried again, each time in a fresh folder, and costs add up', async () => {
    const folder = temporaryFolder();
    const count = join(folder, 'count');
    const command = `echo x >> ${count}; echo {out} >> ${count}.out; touch {out}/old; echo MERGE_COST=1; [ $(wc -l < ${count}) -gt 3 ] || exit 75; ls -A {out}; echo 9; :`;
    const { outcome, waited, retries } = await evaluation({ command }, { folder });
    expect(outcome).toMatchObject({ status: 'complete', attempts: 4, score: { score: 9, cost: 4 } });
    expect(waited).toHaveLength(3);
    expect(waited).toEqual([...waited].sort((a, b) => a - b));
    expect(new Set(waited).size).toBe(3);
    expect(retries).toEqual(waited.map((seconds, i) => [i + 1, seconds]));
    expect(readdirSync(join(folder, 'out'))).toHaveLength(1);
  });

  it('that asks for it for ever has failed', async () => {
    const { outcome, waited } = await evaluation({ command: 'echo busy; echo MERGE_COST=0.5; exit 75; :' });
    expect(waited).toHaveLength(3);
    expect(outcome).toMatchObject({ status: 'failed', attempts: 4, reason: expect.stringMatching(/75 .*after 4 attempts/), cost: 2 });
  });

  it('finds nothing of an earlier search in its folder', async () => {
    const folder = temporaryFolder();
    const command = 'ls -A {out}; echo 1 > "$MERGE_RESULT"; :';
    for (let i = 1; i <= 3; i++) {
      const { log } = await evaluation({ command }, { folder });
      expect(log.split('\n').slice(1)).toEqual(['']);
      expect(readdirSync(join(folder, 'out'))).toHaveLength(i);
    }
  });

  it('hands on what is the same for every evaluation: a score that cannot be chosen', async () => {
    const command = `echo '{"metrics": {"a": 1, "b": 2}}' > "$MERGE_RESULT"; :`;
    const folder = temporaryFolder();
    expect(await mergeError(() => evaluation({ command }, { folder }))).toMatchObject({ code: 'E_METRIC' });
    expect(readdirSync(join(folder, 'out', '1'))).toEqual(['.merge-result']);
    const { outcome } = await evaluation({ command, reading: { metrics: [{ name: 'b', weight: 0.5 }] } });
    expect(outcome).toMatchObject({ status: 'complete', score: { score: 1 } });
  });

  it('gets a device to itself', async () => {
    const folder = temporaryFolder();
    const evaluator = new Evaluator({
      command: `mkdir ${folder}/{gpu} || exit 1; sleep 0.1; rm -r ${folder}/{gpu}; echo "$CUDA_VISIBLE_DEVICES"; : {model}`,
      gpus: ['3', '5'],
      reading: {},
    });
    const { signal } = new AbortController();
    const run = (trial: number) =>
      evaluator.evaluate({ model: 'm', trial, out: join(folder, `out${trial}`), log: join(folder, `log${trial}`) }, { signal });
    const outcomes = await Promise.all([0, 1, 2, 3, 4].map(run));
    const used = outcomes.map((outcome) => (outcome.status === 'complete' ? outcome.score.score : outcome.reason));
    expect(new Set(used)).toEqual(new Set([3, 5]));
  });

  it('that waits for a device leaves the queue when it is aborted', async () => {
    const folder = temporaryFolder();
    const evaluator = new Evaluator({ command: 'sleep 0.3; echo 1; : {model}', gpus: ['0'], reading: {} });
    const aborting = new AbortController();
    const request = (trial: number) => ({ model: 'm', trial, out: join(folder, `out${trial}`), log: join(folder, `log${trial}`) });
    const { signal } = new AbortController();
    const first = evaluator.evaluate(request(1), { signal });
    const second = evaluator.evaluate(request(2), { signal: aborting.signal });
    const third = evaluator.evaluate(request(3), { signal });
    aborting.abort('enough');
    await expect(second).rejects.toBe('enough');
    expect([await first, await third]).toMatchObject([{ status: 'complete' }, { status: 'complete' }]);
  });

  it('is prepared once, by a command that has to work', async () => {
    const folder = temporaryFolder();
    const { signal } = new AbortController();
    const given = { command: 'true', reading: {} };
    await new Evaluator(given).setup(signal);
    await new Evaluator({ ...given, setup: `echo done > ${folder}/done` }).setup(signal);
    expect(existsSync(join(folder, 'done'))).toBe(true);
    const error = await mergeError(() => new Evaluator({ ...given, setup: 'echo no such queue >&2; exit 4' }).setup(signal));
    expect(error).toMatchObject({
      code: 'E_EVALUATOR',
      message: expect.stringMatching(/--eval-setup failed: .*exit code 4\n.*\nno such queue$/),
    });
  });

  it('has its placeholders looked at before anything runs', () => {
    expect(() => new Evaluator({ command: 'evaluate {modle}', reading: {} })).toThrow(/\{modle\}/);
    expect(() => new Evaluator({ command: 'evaluate', cancel: 'scancel {tiral}', reading: {} })).toThrow(/--eval-cancel has \{tiral\}/);
    expect(() => new Evaluator({ command: 'evaluate', setup: 'get {model}', reading: {} })).toThrow(/--eval-setup has \{model\}/);
    expect(() => new Evaluator({ command: 'evaluate {server}', reading: {} })).toThrow(/\{server\}/);
    expect(() => new Evaluator({ command: "sh -c 'score {model}'", reading: {} })).toThrow(/--eval: \{model\} would be read again/);
    expect(() => new Evaluator({ command: 'score', cancel: 'ssh host scancel {trial}', reading: {} })).toThrow(/--eval-cancel: \{trial\}/);
    expect(() => new Evaluator({ command: 'score # quickly', reading: {} })).toThrow(/--eval: \{model\} stands in a comment/);
    expect(() => new Evaluator({ command: ' ', reading: {} })).toThrow('--eval is empty');
    expect(() => new Evaluator({ command: [], reading: {} })).toThrow('--eval is empty');
  });
});

describe('a place without room', () => {
  /** The disk takes nothing more, as the system says it. */
  const refuse = () => {
    throw Object.assign(new Error('ENOSPC: no space left on device, write'), { errno: -28, code: 'ENOSPC', syscall: 'write' });
  };
  const full = () => vi.spyOn(LogFile.prototype, 'write').mockImplementation(refuse);
  afterEach(() => {
    vi.restoreAllMocks();
  });

  it('ends the evaluation with exit 6 when the log cannot be written', async () => {
    const folder = temporaryFolder();
    const log = join(folder, 'log');
    full();
    vi.spyOn(LogFile, 'append').mockImplementation(refuse);
    const error = await mergeError(() => evaluation({ command: 'sleep 60; :' }, { folder, log }));
    expect(error).toMatchObject({ code: 'E_NO_SPACE', exitCode: 6, details: { file: log, errno: 'ENOSPC' } });
    expect(readdirSync(join(folder, 'out'))).toEqual([]);
  });

  it("fails the evaluation when it is the evaluator's own doing, and removes what it wrote", async () => {
    const folder = temporaryFolder();
    const log = join(folder, 'log');
    // The log has room again as soon as what the evaluator wrote is gone: it is opened anew then.
    full();
    const evaluator = new Evaluator({ command: 'echo 1; :', reading: {} });
    const running = evaluator.evaluate({ model: 'm', trial: 1, out: join(folder, 'out'), log }, { signal: new AbortController().signal });
    await expect(running).resolves.toMatchObject({ status: 'failed', reason: expect.stringMatching(/^the disk was full while it ran/) });
    expect(readFileSync(log, 'utf8')).toContain('the disk was full while it ran');
    expect(readdirSync(join(folder, 'out'))).toEqual([]);
  });

  it('is told of where the folder of results cannot be made', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'out'), '');
    expect((await mergeError(() => evaluation({ command: 'echo 1; :' }, { folder }))).code).toBe('E_OUTPUT_KIND');
    expect((await mergeError(() => evaluation({ command: 'echo 1; :' }, { log: '/nowhere/log' }))).code).toBe('E_IO');
  });
});

function tailOf(outcome: Outcome): readonly string[] {
  return outcome.status === 'complete' ? [] : outcome.tail;
}
