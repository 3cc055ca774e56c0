import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { MergeError } from '../../src/base/errors.ts';
import { average, runRecipe, watch } from '../../src/index.ts';
import type { MergeEvent } from '../../src/merge/engine/events.ts';
import type { MachineOptions } from '../../src/merge/run.ts';
import type { Recipe } from '../../src/recipe/types.ts';
import { TIMES } from '../support/campaign.ts';
import { isAlive } from '../support/evaluating.ts';
import { contentOf } from '../support/faults-merge.ts';
import { hiddenIn, rankedRun, removeRuns } from '../support/ranks.ts';
import { type CliResult, runCli } from '../support/run-cli.ts';
import { removePlaces, searchPlace, searchWords } from '../support/searching.ts';

afterAll(() => {
  removeRuns();
  removePlaces();
});

/** A script that stands for a launcher; `"$@"` in it starts one process. Its path. */
function launcher(folder: string, script: string, name = 'launch'): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${script}\n`);
  chmodSync(path, 0o755);
  return path;
}

/** Starts the words as so many ranks, and ends as mpirun does: with the code of one that failed. */
const ranks = (size: number, before = '') => `
pids=
for r in ${Array.from({ length: size }, (_, r) => r).join(' ')}; do
  ( export MERGE_RANK=$r MERGE_WORLD_SIZE=${size}; ${before} exec "$@" ) & pids="$pids $!"
done
code=0
for pid in $pids; do wait $pid || code=$?; done
exit $code`;

const UNIT = { unitBytes: 65_536, rankTimeout: 0.5, threads: 1 } as const;

async function launched(recipe: Recipe, script: string, options: MachineOptions = {}, signal?: AbortSignal) {
  const folder = dirname(recipe.inputs[0]!);
  const events: MergeEvent[] = [];
  const onProgress = (event: MergeEvent) => events.push(event);
  const path = launcher(folder, script);
  const ended = await runRecipe(recipe, { ...UNIT, launcher: [path], signal, ...options, onProgress }).then(
    (result) => ({ result, error: null }),
    (error: unknown) => ({ result: null, error: error as MergeError }),
  );
  return { ...ended, events, path };
}

/** The bytes that one process makes of {@link rankedRun}. */
async function alone(more: object = {}): Promise<Record<string, string>> {
  const { recipe, out } = rankedRun();
  await runRecipe({ ...recipe, outputs: [{ ...recipe.outputs[0]!, ...more }] }, { unitBytes: UNIT.unitBytes });
  return contentOf(out);
}

/** Processes of which a word of the command line names a folder. */
function processesOf(folder: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(folder) && isAlive(Number(pid));
      } catch {
        return false;
      }
    })
    .map(Number);
}

describe('what a launcher starts', () => {
  it('makes the bytes of one process, and is told of as one merge', async () => {
    const { recipe, out, folder } = rankedRun();
    const { result, events } = await launched(recipe, ranks(3));
    expect(result).toMatchObject({ schema: 'ckpt-merge/average', outputs: [{ path: out }] });
    expect(result!.warnings.filter(({ code }) => code === 'W_LAUNCHER')).toEqual([]);
    expect(contentOf(out)).toEqual(await alone());
    expect(hiddenIn(folder)).toEqual([]);
    const types = events.map(({ type }) => type);
    expect([types[0], types.at(-1), types.filter((type) => type === 'plan').length]).toEqual(['plan', 'done', 1]);
    expect(processesOf(folder)).toEqual([]);
  });

  it('means what the recipe means: policies, schedules, purposes, several outputs, paths of this folder', async () => {
    const { recipe, out, folder } = rankedRun();
    const outputs = [
      { path: join(folder, 'ema'), method: 'ema', alpha: 0.3, policies: [{ name: '*down_proj*', use: 'newest' }] },
      { path: join(folder, 'deep', 'er', 'resumed'), select: { last: 2 }, for: 'resume' },
      { path: out, weights: [0.2, 0.3, 0.5], dtype: 'F32' },
    ] as const;
    const [plain, other] = [rankedRun(), rankedRun()];
    const inOther = outputs.map((output) => ({ ...output, path: output.path.replace(folder, other.folder) }));
    expect(await runRecipe({ inputs: plain.recipe.inputs, outputs: inOther })).toMatchObject({ schema: 'ckpt-merge/average' });
    const { result, error } = await launched({ ...recipe, outputs }, ranks(2));
    expect(error).toBeNull();
    expect(result!.outputs).toHaveLength(3);
    const model = (path: string) => Object.fromEntries(Object.entries(contentOf(path)).filter(([name]) => name.endsWith('.safetensors')));
    for (const [k, { path }] of outputs.entries()) {
      expect(Object.keys(model(path)).length).toBeGreaterThan(0);
      expect(model(path), path).toEqual(model(inOther[k]!.path));
    }
  });

  it('may put names before the lines of its processes, and print what it likes', async () => {
    const { recipe, out } = rankedRun();
    const { result, events } = await launched(recipe, `echo "Welcome to node1"; { ${ranks(2)} ; } 2>&1 | sed 's/^/[1,0]<stdout>: /'`);
    expect(result).toMatchObject({ outputs: [{ path: out }] });
    expect(contentOf(out)).toEqual(await alone());
    expect(events).toContainEqual({ type: 'launcher', line: 'Welcome to node1' });
    expect(events.filter(({ type }) => type === 'launcher')).toHaveLength(1);
  });

  it('may be one process alone, which is said', async () => {
    const { recipe, out } = rankedRun();
    const { result, path } = await launched(recipe, 'exec "$@"');
    expect(contentOf(out)).toEqual(await alone());
    expect(result!.warnings.slice(-1)).toEqual([
      { code: 'W_LAUNCHER', message: `${path}: started one process, which knows of no other, and made the merge alone` },
    ]);
  });

  it('share the work also where nothing tells them that they are several', async () => {
    const { recipe, out, folder } = rankedRun();
    const { result } = await launched(recipe, '"$@" & "$@" & "$@" & wait');
    expect(result).toMatchObject({ outputs: [{ path: out }] });
    expect(contentOf(out)).toEqual(await alone());
    expect(hiddenIn(folder)).toEqual([]);
  });

  it('may lose ranks, the first one too: the others make it, and that is said', async () => {
    const { recipe, out, folder } = rankedRun();
    const { result, path } = await launched(recipe, ranks(3, '[ $r = 0 ] && { "$@" & p=$!; sleep 0.3; kill -9 $p; wait $p; exit 137; };'));
    expect(contentOf(out)).toEqual(await alone());
    expect(result!.warnings.map(({ code }) => code)).toContain('W_LAUNCHER');
    expect(result!.warnings.find(({ code }) => code === 'W_LAUNCHER')!.message).toContain(path);
    expect(hiddenIn(folder)).toEqual([]);
  });

  it('goes on with what ranks began, and is done where the same command made it', async () => {
    const { recipe, out, folder } = rankedRun();
    const first = await launched(recipe, ranks(2));
    expect(first.error).toBeNull();
    const again = await launched(recipe, 'echo never >&2; exit 1');
    expect(again.result).toMatchObject({ outputs: [], finished: [out] });
    const forced = await launched(recipe, ranks(2), { force: true });
    expect(forced.result).toMatchObject({ outputs: [], finished: [out] });
    expect(contentOf(out)).toEqual(await alone());
    expect(hiddenIn(folder)).toEqual([]);
  });
});

it.each([false, true])('a rank that comes when all is made leaves it as it is (force %s)', async (force) => {
  const { recipe, out, folder } = rankedRun();
  if (force) await runRecipe({ ...recipe, outputs: [{ path: out, select: { last: 2 } }] });
  const inode = `ls -id "${out}" | cut -d' ' -f1 >> "${folder}/inodes"`;
  const script = `export MERGE_WORLD_SIZE=2; MERGE_RANK=1 "$@"; ${inode}; MERGE_RANK=0 "$@"; ${inode}`;
  const { result, error } = await launched(recipe, script, { force });
  expect(error).toBeNull();
  expect(result).toMatchObject({ outputs: [{ path: out }] });
  const [before, after] = readFileSync(join(folder, 'inodes'), 'utf8').trim().split('\n');
  expect(after).toBe(before);
  expect(contentOf(out)).toEqual(await alone());
  expect(hiddenIn(folder)).toEqual([]);
});

describe('a launcher that', () => {
  const refusal = async (script: string, options: MachineOptions = {}) => {
    const { recipe, folder, out } = rankedRun();
    const { error, path } = await launched(recipe, script, options);
    expect(error).toBeInstanceOf(MergeError);
    expect(existsSync(out)).toBe(false);
    expect(hiddenIn(folder)).toEqual([]);
    expect(processesOf(folder)).toEqual([]);
    const { code, exitCode, message, help } = error!;
    return { code, exitCode, message: message.replaceAll(path, 'LAUNCH').replaceAll(folder, 'DIR'), help };
  };

  it('is not there is refused before anything begins', async () => {
    expect(await refusal('', { launcher: 'no-such-launcher -N 8' })).toMatchObject({
      code: 'E_OPTION',
      exitCode: 2,
      message: 'launcher: there is no program no-such-launcher here',
    });
    expect(await refusal('', { launcher: 'srun -N 8 | tee log' })).toMatchObject({ code: 'E_OPTION' });
    expect(await refusal('', { launcher: 'env', ranks: '0/2' })).toMatchObject({ code: 'E_USAGE' });
  });

  it('fails before a rank speaks is named, with its last lines', async () => {
    const said = await refusal('for i in 1 2 3 4 5 6 7; do echo "srun: error $i" >&2; done; exit 3');
    expect(said).toMatchObject({ code: 'E_LAUNCHER', exitCode: 1, help: expect.stringContaining('hostname') });
    expect(said.message).toBe(
      `launcher LAUNCH: ended with exit code 3, and no rank of the merge began\n${[3, 4, 5, 6, 7].map((i) => `srun: error ${i}`).join('\n')}`,
    );
  });

  it('does nothing, or something else', async () => {
    expect(await refusal('exit 0')).toMatchObject({
      code: 'E_LAUNCHER',
      message: 'launcher LAUNCH: ended with exit code 0, and no rank of the merge began',
    });
    expect((await refusal('echo "$#" words; printf "\\033[2J{\\"schema\\":1}\\n@ckpt-merge-rank x\\n"')).message).toContain(
      'no rank of the merge began',
    );
    expect((await refusal('kill -9 $$')).message).toContain('exit code 137');
  });

  it('starts ranks that are all killed has the word to go on, and so it does', async () => {
    const { recipe, folder, out } = rankedRun();
    const killing = `"$@" > ${folder}/said & p=$!; until grep -qs begun ${folder}/said; do sleep 0.05; done; kill -9 $p; cat ${folder}/said; exit 137`;
    const { error, path } = await launched(recipe, killing, { maxRead: 100_000 });
    expect(error).toMatchObject({
      code: 'E_TEMPORARY',
      exitCode: 75,
      help: 'Start the same command again: it goes on where they stopped.',
    });
    expect(error!.message).toBe(
      `launcher ${path}: one rank began, and none made the merge: it ended with exit code 137 (SIGKILL, often for want of memory)`,
    );
    expect((await launched(recipe, ranks(2))).error).toBeNull();
    expect(contentOf(out)).toEqual(await alone());
    expect(hiddenIn(folder)).toEqual([]);
  });

  it('starts processes that do not see the order says so', async () => {
    const said = await refusal(
      'shift 3; exec "$0.run" "$@"'
        .replace('exec "$0.run"', `exec "${process.execPath}" "$BIN_OF_TEST" @rank /nowhere/order.json`)
        .replace('"$BIN_OF_TEST"', `"${join(process.cwd(), 'bin/merge.js')}"`),
    );
    expect(said).toMatchObject({
      code: 'E_LAUNCHER',
      message: expect.stringContaining('/nowhere/order.json, which says what to merge, cannot be read here'),
    });
  });

  // It takes as long as a launcher has to end in.
  it.skipIf(TIMES === 1)('is ended where it goes on when all is made', { timeout: 60_000 }, async () => {
    const { recipe, out, folder } = rankedRun();
    const { result } = await launched(recipe, `trap '' TERM; "$@"; while :; do sleep 0.1; done`);
    expect(contentOf(out)).toEqual(await alone());
    expect(result!.warnings.at(-1)!.message).toContain('did not end when the merge was made, and was ended');
    expect(processesOf(folder)).toEqual([]);
  });
});

describe('errors of ranks', () => {
  it('are those of the merge: code, message, exit code', async () => {
    const { recipe, folder, out } = rankedRun();
    const nowhere = await launched({ ...recipe, inputs: [join(folder, 'run'), join(folder, 'gone')] }, ranks(2));
    expect(nowhere.error).toMatchObject({ code: 'E_NOT_FOUND', exitCode: 3 });
    // It changes between the plan and the ranks.
    const shard = join(folder, 'run', 'checkpoint-300');
    const file = join(shard, readdirSync(shard).find((name) => name.endsWith('.safetensors'))!);
    const damaged = await launched(recipe, `dd if=/dev/zero of="${file}" bs=1 count=4 conv=notrunc 2>/dev/null; ${ranks(2)}`);
    expect(damaged.error).toBeInstanceOf(MergeError);
    expect(damaged.error!.exitCode).toBe(3);
    expect(existsSync(out)).toBe(false);
    expect(hiddenIn(folder)).toEqual([]);
  });

  it('are not there where a rank alone has no disk: the others make it', async () => {
    const { recipe, out } = rankedRun();
    const { result } = await launched(recipe, ranks(2, '[ $r = 1 ] && exec sh -c "exit 1";'));
    expect(result!.warnings.slice(-1)).toMatchObject([{ code: 'W_LAUNCHER', message: expect.stringContaining('exit code 1') }]);
    expect(contentOf(out)).toEqual(await alone());
  });
});

describe('signals', () => {
  /** A merge that takes seconds, in a process of its own. */
  const slow = ['--max-read', '200KB/s', '--rank-timeout', '1s'];
  const started = async (
    script: string,
    signals: readonly NodeJS.Signals[],
    words: readonly string[] = [],
  ): Promise<CliResult & { folder: string; out: string }> => {
    const { folder, out } = rankedRun();
    const path = launcher(folder, `echo begun >&2\n${script}`);
    const patterns = [/begun[\s\S]*/, /cleaning up/];
    const result = await runCli(['average', join(folder, 'run'), '-o', out, '--launcher', path, ...slow, ...words], {
      signalAfter: signals.map((signal, k) => ({ pattern: patterns[k]!, signal })),
    });
    return { ...result, folder, out };
  };

  it.each([
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
  ] as const)('%s ends the ranks and leaves nothing: exit code %d', async (signal, code) => {
    const { folder, out, ...result } = await started(ranks(2), [signal], ['--no-keep']);
    expect(result).toMatchObject({ code, signal: null, stdout: '' });
    expect(result.stderr).toContain(`ended by ${signal}`);
    expect(processesOf(folder)).toEqual([]);
    expect(existsSync(out)).toBe(false);
    expect(hiddenIn(folder)).toEqual([]);
  });

  it('that come when ranks are at work keep what is finished, and the same command goes on', async () => {
    const { folder, out } = rankedRun();
    const path = launcher(folder, ranks(2));
    const words = ['average', join(folder, 'run'), '-o', out, '--launcher', path, '--rank-timeout', '1s', '--progress', 'json'];
    const first = await runCli([...words, '--max-read', '200KB/s'], {
      signalAfter: [{ pattern: /"type":"progress","phase":"merge"[^\n]*"bytesWritten":[1-9]/, signal: 'SIGTERM' }],
    });
    expect(first).toMatchObject({ code: 143, signal: null, stdout: '' });
    expect(processesOf(folder)).toEqual([]);
    expect(hiddenIn(folder).filter((name) => name.includes('order'))).toEqual([]);
    const second = await runCli(words);
    expect(second.code, second.stderr).toBe(0);
    expect(contentOf(out)).toEqual(await alone({ select: undefined }));
    expect(hiddenIn(folder)).toEqual([]);
    // Where it was started nothing is made.
    expect(readdirSync('.').filter((name) => /^[0-9a-f]{12}$/.test(name))).toEqual([]);
  });

  it('are swallowed by some: they are killed', { timeout: 60_000 }, async () => {
    const { folder, ...result } = await started(`trap '' TERM INT HUP; while :; do sleep 0.1; done`, ['SIGTERM']);
    expect(result.code).toBe(143);
    expect(processesOf(folder)).toEqual([]);
    expect(hiddenIn(folder)).toEqual([]);
  });

  it('twice end all at once', async () => {
    const { folder, ...result } = await started(`trap '' TERM INT HUP; ${ranks(2)}`, ['SIGINT', 'SIGTERM']);
    expect(result).toMatchObject({ code: 143, signal: 'SIGTERM' });
    for (let i = 0; i < 100 && processesOf(folder).length > 0; i++) await sleep(50);
    expect(processesOf(folder)).toEqual([]);
  });

  it.skipIf(TIMES === 1)('that kill the command end its ranks, though nobody tells them', async () => {
    const { folder, out } = rankedRun();
    const path = launcher(folder, `echo begun >&2\n${ranks(2)}`);
    const result = await runCli(['average', join(folder, 'run'), '-o', out, '--launcher', path, ...slow, '--progress', 'json'], {
      signalAfter: [{ pattern: /"progress"/, signal: 'SIGKILL' }],
    });
    expect(result.signal).toBe('SIGKILL');
    for (let i = 0; i < 200 && processesOf(folder).length > 0; i++) await sleep(50);
    expect(processesOf(folder)).toEqual([]);
    expect(hiddenIn(folder).filter((name) => name.includes('order'))).toEqual([]);
  });
});

describe('commands', () => {
  it('print one progress for all and one document', async () => {
    const { folder, out } = rankedRun();
    const path = launcher(folder, ranks(3));
    const words = ['average', join(folder, 'run'), '--last', '3', '-o', out, '--launcher', path, '--json', '--progress', 'json'];
    const { code, stdout, stderr } = await runCli(words);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ schema: 'ckpt-merge/average', outputs: [{ path: out }] });
    const types = stderr
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { type: string }).type);
    expect(types.filter((type) => type === 'plan' || type === 'done')).toEqual(['plan', 'done']);
    expect(contentOf(out)).toEqual(await alone());
  });

  it('search makes each trial so, and goes on', { timeout: 120_000 }, async () => {
    const [plain, with3] = [searchPlace(), searchPlace()];
    const path = launcher(with3.folder, `echo x >> ${with3.folder}/starts\n${ranks(2)}`);
    const a = await runCli(searchWords(plain, { trials: 4, options: ['--seed', '1'] }));
    expect(a.code, a.stderr).toBe(0);
    const b = await runCli(searchWords(with3, { trials: 4, work: false, options: ['--seed', '1', '--launcher', path] }));
    expect(b.code, b.stderr).toBe(0);
    expect(readFileSync(join(with3.folder, 'starts'), 'utf8').split('\n').length).toBeGreaterThan(2);
    expect(readFileSync(join(with3.out, 'model.safetensors'))).toEqual(readFileSync(join(plain.out, 'model.safetensors')));
    const scores = (file: string) =>
      readFileSync(file, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { score?: number })
        .map(({ score }) => score);
    expect(scores(with3.trials)).toEqual(scores(plain.trials));
    expect(readdirSync(with3.dir).filter((name) => name.startsWith('.') && name !== '.lock')).toEqual([]);
    expect(readdirSync(with3.dir).filter((name) => name.includes('work'))).toEqual([]);
    expect(hiddenIn(with3.folder)).toEqual([]);
  });

  it('watch makes each window so, and goes on', { timeout: 120_000 }, async () => {
    const { folder } = rankedRun();
    const path = launcher(folder, ranks(2));
    const options = { run: join(folder, 'run'), once: true, settle: 0, select: { last: 2 }, keep: Number.POSITIVE_INFINITY } as const;
    const one = await watch({ ...options, output: join(folder, 'one') });
    const many = await watch({ ...options, output: join(folder, 'many'), launcher: path });
    expect(many.failed).toEqual([]);
    expect(many.merges.map(({ output }) => output)).toEqual(one.merges.map(({ output }) => output));
    for (const { output } of one.merges) expect(contentOf(join(folder, 'many', output!))).toEqual(contentOf(join(folder, 'one', output!)));
    expect(readdirSync(join(folder, 'many')).filter((name) => name.startsWith('.') && name !== '.merge-watch')).toEqual([]);
  });

  it('a search in a world of ranks names the option', async () => {
    const place = searchPlace();
    const { code, stderr } = await runCli(searchWords(place), { env: { MERGE_RANK: '1', MERGE_WORLD_SIZE: '4' } });
    expect(code).toBe(2);
    expect(stderr).toContain('--launcher');
  });

  it('single files, and conversions', async () => {
    const { folder } = rankedRun();
    mkdirSync(join(folder, 'sub'));
    const path = launcher(folder, ranks(2));
    const [one, two] = [join(folder, 'sub', 'one'), join(folder, 'sub', 'two')];
    const input = join(folder, 'run', 'checkpoint-100');
    await runCli(['convert', input, '-o', one, '--files', '1']);
    const { code, stderr } = await runCli(['convert', input, '-o', two, '--files', '1', '--launcher', path]);
    expect(code, stderr).toBe(0);
    expect(contentOf(two)).toEqual(contentOf(one));
    rmSync(one, { recursive: true });
    await average({
      inputs: [join(two, 'model.safetensors'), join(two, 'model.safetensors')],
      output: join(folder, 'm.safetensors'),
      launcher: path,
    });
    expect(existsSync(join(folder, 'm.safetensors'))).toBe(true);
    expect(hiddenIn(folder)).toEqual([]);
  });
});
