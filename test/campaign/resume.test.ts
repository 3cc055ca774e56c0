import { existsSync, mkdirSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CAMPAIGN_MS } from '../support/campaign.ts';
import { checkpoints, contentOf, hiddenBeside, removeCheckpoints, run, start } from '../support/faults-merge.ts';
import { inOwnMounts, NO_MOUNTS, runShell } from '../support/faults-shell.ts';

afterAll(removeCheckpoints);

type Command = (inputs: readonly string[], out: string) => readonly string[];

/** The same merge as words and as a recipe, and one of several outputs. */
const COMMANDS: readonly (readonly [name: string, command: Command, outputs: (out: string) => string[]])[] = [
  ['average', (inputs, out) => ['average', ...inputs, '-o', out], (out) => [out]],
  ['run', (inputs, out) => ['run', recipe(out, [{ path: out, inputs }])], (out) => [out]],
  [
    'run of two outputs',
    (inputs, out) => [
      'run',
      recipe(
        out,
        [out, `${out}-2`].map((path, k) => ({ path, inputs, method: k === 0 ? 'sma' : 'wma' })),
      ),
    ],
    (out) => [out, `${out}-2`],
  ],
];

function recipe(out: string, outputs: readonly { path: string; inputs: readonly string[]; method?: string }[]): string {
  const file = `${out}.yaml`;
  const { inputs } = outputs[0]!;
  writeFileSync(file, JSON.stringify({ inputs, outputs: outputs.map(({ path, method }) => ({ path, method })) }));
  return file;
}

const whatOf = (stdout: string) => (JSON.parse(stdout).resume as { what: string }[]).map(({ what }) => what);

describe.each(COMMANDS)('%s --resume', (_, command, outputsOf) => {
  it(
    'is repeatable: begins, goes on, and finds its output there; -n says which; another merge’s output is refused',
    async () => {
      const { inputs, out } = checkpoints();
      const outputs = outputsOf(out);
      const words = command(inputs, out);
      const planned = async () => whatOf((await run(...words, '--resume', '-n', '--json')).stdout);
      expect(await planned()).toEqual(outputs.map(() => 'begin'));

      // Nothing begun.
      const held = start([...words, '--resume'], { hold: { call: 5 } });
      await held.says('[call 5]');
      expect(await planned()).toEqual(outputs.map(() => 'wait'));
      const meanwhile = await run(...words, '--resume');
      expect([meanwhile.code, meanwhile.stderr]).toEqual([75, expect.stringContaining('still running')]);
      held.child.kill('SIGTERM');
      expect((await held.ended).code).toBe(143);

      // Half done.
      expect(await planned()).toEqual(outputs.map(() => 'continue'));
      const text = (await run(...words, '--resume', '-n')).stdout;
      expect(text).toMatch(/--resume: .*out goes on with \d finished parts \(.*\) in .*\.out\.partial-/);
      const resumed = await run(...words, '--resume', '--json');
      expect([resumed.code, JSON.parse(resumed.stdout).resumedBytes > 0]).toEqual([0, true]);

      // All done, twice, and with --force, too.
      const content = outputs.map(contentOf);
      for (const more of [[], [], ['--force']]) {
        expect(await planned()).toEqual(outputs.map(() => 'finished'));
        const { code, stdout, stderr } = await run(...words, '--resume', ...more);
        expect([code, stderr]).toEqual([0, '']);
        for (const path of outputs) expect(stdout).toContain(`${path} is what this merge makes`);
        expect((await run(...words, '--resume', ...more, '--quiet')).stdout).toBe(outputs.map((path) => `${path}\n`).join(''));
      }
      expect(outputs.map(contentOf)).toEqual(content);

      // Another merge's output.
      rmSync(out, { recursive: true });
      expect((await run('average', inputs[0]!, '-o', out)).code).toBe(0);
      const other = contentOf(out);
      const refused = await run(...words, '--resume');
      expect([refused.code, refused.stderr]).toEqual([
        4,
        expect.stringMatching(/E_OUTPUT_EXISTS.*out exists, and is another merge: members \(there \S+, here /),
      ]);
      expect(contentOf(out)).toEqual(other);
      expect((await run(...words, '--resume', '--force')).code).toBe(0);
      expect(outputs.map(contentOf)).toEqual(content);
    },
    CAMPAIGN_MS,
  );
});

it(
  'an unfinished merge of another plan is left alone and named, and can still be gone on with',
  async () => {
    const { inputs, out } = checkpoints();
    const held = start(['average', ...inputs, '-o', out], { hold: { call: 5 } });
    await held.says('[call 5]');
    held.child.kill('SIGTERM');
    await held.ended;
    const [left] = hiddenBeside(out);
    const unfinished = async () => {
      const { checks } = JSON.parse((await run('doctor', dirname(out), '--json')).stdout) as { checks: Record<string, string>[] };
      return checks.filter(({ name }) => name === 'unfinished').map(({ status, found }) => [status, found]);
    };
    const told = [['warn', expect.stringMatching(new RegExp(`^an interrupted merge to ${out} \\(\\d finished parts?, .*: .*/${left}$`))]];
    expect(await unfinished()).toEqual(told);
    const words = ['average', ...inputs, '-o', out, '--method', 'wma', '--resume'];
    expect((await run(...words, '-n')).stdout).toMatch(
      new RegExp(`begins.*\\n.*left alone: .*${left} is of another merge; these differ: method`),
    );
    const { code, stderr } = await run(...words);
    expect([code, stderr]).toEqual([
      0,
      expect.stringMatching(new RegExp(`W_STALE_PARTIAL.*left alone.*${left} .*method \\(was sma, is wma\\)`)),
    ]);
    expect(hiddenBeside(out)).toEqual([left]);
    // Later, too.
    expect(await unfinished()).toEqual(told);
    rmSync(out, { recursive: true });
    const resumed = JSON.parse((await run('average', ...inputs, '-o', out, '--resume', '--json')).stdout);
    expect(resumed.resumedBytes).toBeGreaterThan(0);
    expect(hiddenBeside(out)).toEqual([]);
    expect(await unfinished()).toEqual([['ok', 'no interrupted merge lies in the output folder']]);
  },
  CAMPAIGN_MS,
);

describe('an error', () => {
  it.skipIf(NO_MOUNTS !== null)(
    'of a full disk keeps what is finished, says how to go on, and --resume does when there is room',
    async () => {
      const { folder, inputs } = checkpoints();
      const place = join(folder, 'place');
      mkdirSync(place);
      const target = join(place, 'merged');
      // Six files of 78 KiB: the disk is filled while the fifth is made.
      const line = inOwnMounts(
        `mount -t tmpfs -o size=1800k none ${place} && ` +
          `{ (for i in $(seq 2000); do ls ${place}/.merged.partial-*/payload/*4-of* > /dev/null 2>&1 && break; sleep 0.01; done; head -c 1800k /dev/zero > ${place}/else) & } && ` +
          `"$@"; r=$?; cp -a ${place} ${folder}/saved; exit $r`,
      );
      const slow = new URL('../support/faults-slow.js', import.meta.url).href;
      const env = { CKPT_TEST_SLOW: JSON.stringify({ callMs: 300 }) };
      const full = await runShell(line.replace('"$@"', `"$1" --import ${slow} "\${@:2}"`), ['average', ...inputs, '-o', target, '--json'], {
        env,
      });
      expect(full.code, full.stderr).toBe(6);
      const { details, help } = JSON.parse(full.stdout);
      expect(details.kept).toEqual([target]);
      expect(help).toContain(`go on with: merge average ${inputs.join(' ')} -o ${target} --json --resume`);
      rmSync(place, { recursive: true });
      rmSync(join(folder, 'saved/else'), { force: true });
      const saved = join(folder, 'saved/merged');
      expect(hiddenBeside(saved)).toHaveLength(1);
      const resumed = JSON.parse((await run('average', ...inputs, '-o', saved, '--resume', '--json')).stdout);
      expect(resumed.resumedBytes).toBeGreaterThan(0);
      expect((await run('verify', saved, '--full')).code).toBe(0);
    },
    CAMPAIGN_MS,
  );

  it(
    'before the first unit is finished, or under --no-keep, leaves nothing',
    async () => {
      const { inputs, out } = checkpoints();
      for (const [limit, more] of [
        [4, []],
        [70, ['--no-keep']],
      ] as const) {
        const { code } = await runShell(`ulimit -f ${limit}; exec "$@"`, ['average', ...inputs, '-o', out, ...more]);
        expect([code, existsSync(out), hiddenBeside(out)]).toEqual([6, false, []]);
      }
    },
    CAMPAIGN_MS,
  );
});

describe('a signal', () => {
  it(
    'that comes when the output is there changes nothing: exit 0',
    async () => {
      const { inputs, out } = checkpoints();
      // The result is printed into a pipe that nobody reads from until the signal was sent.
      const line = `mkfifo ${out}.fifo; exec 3<> ${out}.fifo; "$@" > ${out}.fifo & for i in $(seq 3000); do [ -e ${out}/README.md ] && break; sleep 0.01; done; kill -INT $!; wait $!`;
      const { code, stderr } = await runShell(line, ['average', ...inputs, '-o', out]);
      expect([code, stderr]).toEqual([0, expect.not.stringContaining('E_INTERRUPTED')]);
      expect(hiddenBeside(out)).toEqual([]);
    },
    CAMPAIGN_MS,
  );
});

it(
  'an unfinished merge of which no part is sound any more: --resume -n says that it goes, as it does',
  async () => {
    const { inputs, out } = checkpoints();
    const words = ['average', ...inputs, '-o', out, '--resume'];
    const held = start(words, { hold: { call: 5 } });
    await held.says('[call 5]');
    held.child.kill('SIGTERM');
    await held.ended;
    const partial = join(dirname(out), hiddenBeside(out).find((name) => name.includes('.partial-'))!);
    const files = readdirSync(join(partial, 'payload')).map((name) => join(partial, 'payload', name));
    for (const file of files) truncateSync(file, 0);
    const said = (await run(...words, '-n')).stdout;
    expect(said).toMatch(/begins.*\n {4}removes .*\.out\.partial-\w+, which holds no finished part of this merge/);
    expect(said).not.toContain('left alone');
    expect((await run(...words)).code).toBe(0);
    expect(hiddenBeside(out)).toEqual([]);
  },
  CAMPAIGN_MS,
);

it.skipIf(NO_MOUNTS !== null)(
  'an output in a layer below cannot be replaced, which is said before the work; a new one can',
  async () => {
    const { folder, inputs } = checkpoints();
    for (const name of ['low', 'disk', 'seen']) mkdirSync(join(folder, name));
    expect((await run('average', ...inputs, '-o', join(folder, 'low/out'))).code).toBe(0);
    const out = join(folder, 'seen/out');
    const mounts =
      `mount -t tmpfs none ${folder}/disk && mkdir ${folder}/disk/up ${folder}/disk/work && ` +
      `mount -t overlay overlay -o lowerdir=${folder}/low,upperdir=${folder}/disk/up,workdir=${folder}/disk/work ${folder}/seen`;
    const line = inOwnMounts(
      `${mounts} || exit 99; "$@"; r=$?; ls -A ${folder}/seen >&2; rm -r ${out}; "$@" > /dev/null 2>&1 || exit 98; exit $r`,
    );
    const { code, stderr } = await runShell(line, ['average', ...inputs, '-o', out, '--force', '--method', 'wma', '--progress', 'none']);
    if (code === 99) return console.log('skipped: no overlays here');
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/E_OUTPUT_KIND.*cannot rename it \(EXDEV\)[\s\S]*Remove it first[\s\S]*\nout\n$/),
    ]);
  },
  CAMPAIGN_MS,
);
