import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, it } from 'vitest';
import { average, search, verify, watch } from '../../src/index.ts';
import { recipeKey } from '../../src/search/space/key.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { mergeError } from '../support/safetensors.ts';
import { SCORE_WEIGHTS, weightedRun } from '../support/weighted-run.ts';

/** What version 0.1.0 wrote is about the same inputs as ever. */

const temporary = temporaryFolder();
afterAll(temporary.remove);
let run: string;
let out: string;
let count = 0;
beforeEach(() => {
  const folder = join(temporary.path, String(++count));
  run = weightedRun(join(folder, 'run'), 4);
  out = join(folder, 'out');
});

/** Of a checkpoint in one small file. */
function oldFingerprint(folder: string): string {
  const bytes = readFileSync(join(folder, 'model.safetensors'));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(bytes.length));
  return createHash('sha256').update(size).update(bytes).digest('hex');
}

const old = (step: number): string => oldFingerprint(join(run, `checkpoint-${step}`));

function rewrite(file: string, change: (text: string) => string): void {
  const before = readFileSync(file, 'utf8');
  const after = change(before);
  expect(after).not.toBe(before);
  writeFileSync(file, after);
}

it('verify recomputes a merge from inputs that its record names by old fingerprints, and notices a change', async () => {
  await average({ inputs: [run], select: { last: 2 }, output: out });
  const steps = [300, 400];
  rewrite(join(out, 'merge_provenance.json'), (text) =>
    text.replace(/"fingerprint": "v2-[0-9a-f]{64}"/g, () => `"fingerprint": "${old(steps.shift()!)}"`),
  );
  expect(await verify(out)).toMatchObject({ ok: true, recomputed: expect.anything(), warnings: [] });
  expect(await verify(out, { inputs: [run] })).toMatchObject({ ok: true, warnings: [] });
  const file = join(run, 'checkpoint-300/model.safetensors');
  const bytes = readFileSync(file);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(file, bytes);
  expect((await mergeError(() => verify(out))).code).toBe('E_SOURCE_CHANGED');
});

it('a search goes on with trials of recipes by old fingerprints', async () => {
  const options = {
    inputs: [run],
    select: { last: 2 },
    eval: `${SCORE_WEIGHTS} 0.3,0.7`,
    goal: 'maximize',
    output: out,
    sampler: 'random',
  } as const;
  const before = await search({ ...options, trials: 5 });
  const trials = join(`${out}.search`, 'trials.jsonl');
  const fingerprints = [100, 200, 300, 400].map(old);
  rewrite(trials, (text) => {
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    for (const [i, member] of lines[0].study.members.entries()) member.fingerprint = fingerprints[i];
    for (const line of lines) {
      const weights = fingerprints.map((_, i) => line.weights.find((own: { step: number }) => own.step === (i + 1) * 100)?.weight ?? 0);
      line.recipe = recipeKey({ candidate: { weights, parts: [] }, fingerprints, policies: [], dtype: null });
    }
    return `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`;
  });
  const after = await search({ ...options, trials: 7, resume: true, force: true });
  expect(after.trials.slice(0, before.trials.length).map(({ score }) => score)).toEqual(before.trials.map(({ score }) => score));
  expect(after.trials).toHaveLength(before.trials.length + 2);
  const lines = readFileSync(trials, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  // The newest alone is the recipe of no other trial, and keeps its key.
  expect(new Set(lines.map(({ recipe }) => recipe)).size).toBe(lines.length);
  const member = join(run, 'checkpoint-400/model.safetensors');
  const bytes = readFileSync(member);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(member, bytes);
  const changed = await mergeError(() => search({ ...options, trials: 8, resume: true, force: true }));
  expect(changed).toMatchObject({ code: 'E_SEARCH_STATE', message: expect.stringContaining('the content of the checkpoints') });
});

it('a watch knows its accumulator by an old fingerprint', async () => {
  const options = { run, output: out, accumulate: 'ema', alpha: 0.5, once: true, poll: 0.02, settle: 0 } as const;
  const later = join(out, '../later');
  renameSync(join(run, 'checkpoint-400'), later);
  expect((await watch(options)).failed).toEqual([]);
  const [state] = readdirSync(out, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('state.json'));
  rewrite(join(out, state!), (text) => {
    const parsed = JSON.parse(text);
    parsed.accumulator.fingerprint = oldFingerprint(join(out, parsed.accumulator.output));
    return JSON.stringify(parsed);
  });
  renameSync(later, join(run, 'checkpoint-400'));
  expect(await watch(options)).toMatchObject({ merges: [{ checkpoint: 'checkpoint-400' }], failed: [] });
});
