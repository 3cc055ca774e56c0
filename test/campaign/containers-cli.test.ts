import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { MergeError } from '../../src/base/errors.ts';
import { type AverageOptions, average } from '../../src/index.ts';
import { CAMPAIGN_MS } from '../support/campaign.ts';
import { writeDcp } from '../support/dcp-files.ts';
import { pooled, runCase, treeChanges, treeOf } from '../support/hostile-case.ts';
import { HOSTILE_CONTAINERS, SOUND_TORCH, soundDcp } from '../support/hostile-containers.ts';
import { HOSTILE_DCP } from '../support/hostile-dcp.ts';
import { HOSTILE_TORCH_FILES } from '../support/hostile-torch.ts';

/** Command lines that run at the same time. */
const WIDTH = 4;

interface Row {
  readonly code: string;
  readonly place: string;
  readonly how: string;
  readonly problems: readonly string[];
}
const rows: Row[] = [];
const home = process.cwd();
const folders: string[] = [];
afterAll(() => {
  process.chdir(home);
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
  const lines = rows.map(({ code, place, how, problems }) =>
    [problems.length === 0 ? 'ok  ' : 'FAIL', code.padEnd(18), how.padEnd(8), place].join('  '),
  );
  process.stdout.write(`${[`${rows.length} refusals, ${distinct()} distinct (code, how, place):`, ...lines].join('\n')}\n`);
});
const distinct = () => new Set(rows.map(({ code, place }) => `${code} ${place}`)).size;

/**
 * A folder that is the working folder of this process, where a command of a pickle would leave its canary.
 */
function workIn(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
  folders.push(folder);
  process.chdir(folder);
  return folder;
}

/** What is wrong with a refusal: its code, what it names, and what is there afterwards. */
async function refused(folder: string, options: AverageOptions, want: { code: string; says: RegExp; file: string }): Promise<string[]> {
  const before = treeOf(folder);
  const error = await average(options).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  const problems = treeChanges(before, treeOf(folder));
  if (existsSync(join(folder, 'canary'))) problems.push('a command of a pickle was run');
  if (!(error instanceof MergeError)) return [...problems, `no refusal, but ${error}`];
  if (error.code !== want.code) problems.push(`${error.code}, not ${want.code}`);
  if (!want.says.test(error.message)) problems.push(`does not say ${want.says}: ${error.message}`);
  if (!`${error.message} ${error.details.file}`.includes(want.file)) problems.push(`does not name ${want.file}: ${error.message}`);
  if (error.help === '') problems.push('no help');
  return problems;
}

const failures = () => rows.filter(({ problems }) => problems.length > 0);

describe('hostile checkpoints of torch under a merge', () => {
  it('files of torch.save are refused by name, alone and in a run', async () => {
    for (const { code, place, says, bytes } of HOSTILE_TORCH_FILES) {
      const folder = workIn();
      const run = join(folder, 'run');
      mkdirSync(run);
      for (const step of [100, 200]) writeFileSync(join(run, `step-${step}.pt`), SOUND_TORCH);
      writeFileSync(join(run, 'step-300.pt'), bytes());
      const inputs = [join(run, 'step-200.pt'), join(run, 'step-300.pt')];
      const output = join(folder, 'out');
      rows.push({ code, place, how: 'named', problems: await refused(folder, { inputs, output }, { code, says, file: 'step-300.pt' }) });
      const strict = { inputs: [run], output, select: { last: 3 }, strict: true };
      const want = { code: 'E_STRICT', says: /step-300\.pt: (?:not usable|incomplete)/, file: 'run' };
      rows.push({ code: 'E_STRICT', place, how: 'in a run', problems: await refused(folder, strict, want) });
    }
    expect(failures()).toEqual([]);
  });

  it('folders of torch.distributed are refused by name, alone and in a run', async () => {
    for (const { code, place, says, make } of HOSTILE_DCP) {
      const folder = workIn();
      const run = join(folder, 'run');
      for (const step of [100, 200]) {
        writeDcp(join(run, `step-${step}`), {
          tensors: {
            w: {
              shape: [4, 2],
              parts: [
                { start: [0, 0], size: [2, 2] },
                { start: [2, 0], size: [2, 2], file: '__1_0.distcp' },
              ],
            },
          },
        });
      }
      mkdirSync(join(run, 'step-300'));
      make(join(run, 'step-300'));
      const inputs = [join(run, 'step-200'), join(run, 'step-300')];
      const output = join(folder, 'out');
      rows.push({ code, place, how: 'named', problems: await refused(folder, { inputs, output }, { code, says, file: 'step-300' }) });
      const strict = { inputs: [run], output, select: { last: 3 }, strict: true };
      const want = { code: 'E_STRICT', says: /step-300: (?:not usable|incomplete|unlike)/, file: 'run' };
      rows.push({ code: 'E_STRICT', place, how: 'in a run', problems: await refused(folder, strict, want) });
    }
    expect(failures()).toEqual([]);
  });

  it('a file of items that is cut under the merge ends it, and nothing is left', async () => {
    const large = {
      shape: [2 ** 20, 4],
      parts: [
        { start: [0, 0], size: [2 ** 19, 4] },
        { start: [2 ** 19, 0], size: [2 ** 19, 4], file: '__1_0.distcp' },
      ],
    };
    for (const [place, when] of [
      ['between plan and reading', 'plan'],
      ['while merging', 'progress'],
    ] as const) {
      const folder = workIn();
      for (const step of [100, 200]) soundDcp(join(folder, `step-${step}`), { 'large.weight': large });
      const file = join(folder, 'step-200/__1_0.distcp');
      const size = statSync(file).size;
      let cut = false;
      const inputs = [join(folder, 'step-100'), join(folder, 'step-200')];
      const error = await average(
        { inputs, output: join(folder, 'out'), threads: 1 },
        {
          onProgress: (event) => {
            if (cut || event.type !== when) return;
            cut = true;
            truncateSync(file, size - 8_000_000);
          },
        },
      ).then(
        () => null,
        (thrown: unknown) => thrown,
      );
      const problems: string[] = [];
      if (!cut) problems.push(`no event ${when}`);
      const { code = 'none', message = '' } = (error ?? {}) as MergeError;
      if (!['E_INPUT_CHANGED', 'E_FILE_TRUNCATED'].includes(code)) problems.push(`${code}, and not that an input changed`);
      if (!message.includes('step-200')) problems.push(`does not name the file: ${message}`);
      if (existsSync(join(folder, 'out'))) problems.push('an output is left');
      rows.push({ code, place: `a .distcp is cut ${place}`, how: 'named', problems });
    }
    expect(failures()).toEqual([]);
  });

  it(
    'the command line says the same, one of each kind',
    async () => {
      const done = await pooled(HOSTILE_CONTAINERS, WIDTH, (hostile, i) => runCase(hostile, i % 8 === 0));
      rows.push(...done.map(({ case: { code, place }, problems }) => ({ code, place, how: 'command', problems })));
      expect(failures()).toEqual([]);
    },
    CAMPAIGN_MS,
  );

  it('are at least 80 distinct cases of code and place', () => {
    expect(new Set(rows.filter(({ how }) => how !== 'in a run').map(({ code, place }) => `${code} ${place}`)).size).toBeGreaterThanOrEqual(
      80,
    );
  });
});
