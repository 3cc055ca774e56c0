import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ErrorCode } from '../../src/base/errors.ts';
import type { HostileCase, HostileSetup } from './hostile-case.ts';
import { runCli } from './run-cli.ts';
import { writeRun } from './run-trees.ts';

type Setup = (folder: string) => HostileSetup | Promise<HostileSetup>;
const STRIP = '--budget 9 --windows 4000steps --strip -o copies';

/** Five saves with an optimizer, and what a case changes about them. */
function run(folder: string, { tokens = true, names = (i: number) => `checkpoint-${i * 1000}`, count = 5, at = 'run' } = {}): void {
  writeRun(
    join(folder, at),
    Array.from({ length: count }, (_, i) => ({
      name: names(i + 1),
      step: (i + 1) * 1000,
      seed: i,
      ...(tokens && { tokens: (i + 1) * 25e9 }),
      files: { 'optimizer.pt': 'x'.repeat(20_000) },
    })),
  );
}

/** A command line over the run as it is, or as `changes` have it. */
const line =
  (args: string, says: string, changes: Parameters<typeof run>[1] = {}): Setup =>
  (folder) => {
    run(folder, changes);
    return { args: `keep run ${args}`.split(' '), says };
  };

/** The same, once something of the folder is otherwise. */
const changed =
  (change: (folder: string) => void | Promise<void>, args: string, says: string, file?: string): Setup =>
  async (folder) => {
    run(folder);
    await change(folder);
    return { args: `keep run ${args}`.split(' '), says, ...(file !== undefined && { file }) };
  };

/** A watch that is to say which saves to keep. */
const watched =
  (args: string, says: string): Setup =>
  (folder) => {
    run(folder);
    return { args: `watch run --once --settle 0 -o merges ${args}`.split(' '), says };
  };

const CASES: readonly (readonly [code: ErrorCode, exit: number, place: string, make: Setup])[] = [
  // Which to keep
  ['E_OPTION', 2, '--budget missing', line('--windows 100B', '--budget is missing')],
  ['E_OPTION', 2, '--windows missing', line('--budget 9', '--windows is missing')],
  ['E_OPTION', 2, '--budget 0', line('--budget 0 --windows 100B', '--budget')],
  ['E_OPTION', 2, '--keep-steps word', line('--budget 9 --windows 100B --keep-steps soon', "'soon'")],
  ['E_OPTION', 2, '--spacing word', line('--budget 9 --windows 100B --spacing evn', 'uniform')],
  ['E_OPTION', 2, '--budget below the windows', line('--budget 3 --windows 100B', 'is too small')],
  ['E_OPTION', 2, '--windows of fewer saves', line('--budget 9 --windows 50B', 'holds 2 of the saves')],
  ['E_OPTION', 2, '--windows of two kinds', line('--budget 9 --windows 100B,5%', 'all tokens, all steps or all shares')],
  ['E_OPTION', 2, '--windows of all', line('--budget 9 --windows 100%', 'no share over 0 % and below 100 %')],
  ['E_OPTION', 2, '--spacing ratio of lengths', line('--budget 9 --windows 100B --spacing ratio', 'does not go with windows such as 100B')],
  ['E_OPTION', 2, '--save-every unit', line('--budget 9 --windows 100B --save-every 500steps', '--save-every is in steps')],
  ['E_OPTION', 2, '--save-every unknown', line('--budget 9 --windows 100B', 'nothing says how often', { count: 1 })],
  ['E_NO_MEMBERS', 3, '--keep-steps of no save', line('--budget 9 --windows 100B --keep-steps 1500', '--keep-steps names step 1500')],
  ['E_NO_TOKENS', 2, '--windows in tokens', line('--budget 9 --windows 100B', 'has none', { tokens: false })],
  [
    'E_SIBLINGS',
    2,
    'run of ingredients',
    line('--budget 9 --windows 4000steps', 'of ingredients', { names: (i) => `stage2-ingredient${1 + (i % 2)}-step${i * 1000}` }),
  ],
  [
    'E_NO_RUN',
    3,
    'a checkpoint',
    (folder) => {
      run(folder, { count: 1 });
      return { args: 'keep run/checkpoint-1000 --budget 9 --windows 100B'.split(' '), says: 'run/checkpoint-1000' };
    },
  ],
  ['E_NOT_FOUND', 3, 'no run', () => ({ args: 'keep nowhere --budget 9 --windows 100B'.split(' '), says: 'nowhere' })],
  // Copies without the trainer's state
  ['E_USAGE', 2, '--strip without a folder', line('--budget 9 --windows 4000steps --strip', '-o DIR')],
  ['E_USAGE', 2, '--copies without --strip', line('--budget 9 --windows 4000steps --copies 2', '--copies is about copies')],
  ['E_USAGE', 2, '--dry-run without --strip', line('--budget 9 --windows 4000steps --dry-run', '--dry-run is about copies')],
  ['E_USAGE', 2, '--threads without --strip', line('--budget 9 --windows 4000steps --threads 2', '--threads is about copies')],
  ['E_OPTION', 2, '--copies 0', line(`${STRIP} --copies 0`, '--copies')],
  ['E_OPTION', 2, '--strip: --budget below the windows', line('--budget 3 --windows 4000steps --strip -o copies', 'is too small')],
  ['E_OUTPUT_OVERLAPS_INPUT', 2, '--strip into the run', line('--budget 9 --windows 4000steps --strip -o run', 'run is the run itself')],
  [
    'E_OUTPUT_OVERLAPS_INPUT',
    2,
    '--strip into a save',
    line('--budget 9 --windows 5000steps --strip -o run/checkpoint-1000', 'lies inside the input'),
  ],
  [
    'E_OUTPUT_EXISTS',
    4,
    '--strip: somebody’s folder where a copy would go',
    changed(
      (folder) => {
        mkdirSync(join(folder, 'copies/checkpoint-3000'), { recursive: true });
        writeFileSync(join(folder, 'copies/checkpoint-3000/mine'), 'x');
      },
      STRIP,
      'copies/checkpoint-3000',
    ),
  ],
  [
    'E_OUTPUT_EXISTS',
    4,
    '--strip: a copy of another save of that name',
    changed(
      async (folder) => {
        run(folder, { at: 'other' });
        writeRun(join(folder, 'other'), [{ name: 'checkpoint-3000', step: 3000, seed: 77, files: { 'optimizer.pt': 'x'.repeat(20_000) } }]);
        await runCli('keep other --budget 9 --windows 4000steps --strip -o copies'.split(' '), { cwd: folder });
      },
      STRIP,
      'copies/checkpoint-3000',
    ),
  ],
  [
    'E_OUTPUT_KIND',
    2,
    '--strip below a file',
    changed((folder) => writeFileSync(join(folder, 'copies'), 'x'), STRIP, 'copies, which is not a folder'),
  ],
  [
    'E_OUTPUT_EXISTS',
    4,
    '--strip: a copy that was cut short',
    changed(
      async (folder) => {
        await runCli(`keep run ${STRIP}`.split(' '), { cwd: folder });
        truncateSync(join(folder, 'copies/checkpoint-3000/model.safetensors'), 40);
      },
      STRIP,
      'copies/checkpoint-3000',
    ),
  ],
  [
    'E_VERIFY',
    5,
    '--strip: a copy that was changed',
    changed(
      async (folder) => {
        await runCli(`keep run ${STRIP}`.split(' '), { cwd: folder });
        const path = join(folder, 'copies/checkpoint-3000/model.safetensors');
        const bytes = readFileSync(path);
        bytes[bytes.length - 1]! ^= 1;
        writeFileSync(path, bytes);
      },
      STRIP,
      'model.safetensors',
    ),
  ],
  // A watch that says which to keep
  ['E_OPTION', 2, 'watch: --keep-saves without windows', watched('--keep-saves 9', 'nothing says for which windows')],
  ['E_OPTION', 2, 'watch: --keep-steps without --keep-saves', watched('--keep-steps 1000', '--keep-steps has a meaning only with')],
  ['E_OPTION', 2, 'watch: --keep-windows in saves', watched('--keep-saves 9 --keep-windows 3ckpt', '--keep-windows takes tokens, steps')],
  ['E_OPTION', 2, 'watch: --keep-windows twice', watched('--keep-saves 9 --keep-windows 5B,5000M', 'names 5000M twice')],
  [
    'E_OUTPUT_EXISTS',
    4,
    'watch: somebody’s keep-saves.json',
    (folder) => {
      run(folder);
      mkdirSync(join(folder, 'merges'));
      writeFileSync(join(folder, 'merges/keep-saves.json'), '{"mine":1}');
      const args = 'watch run --once --settle 0 -o merges --keep-saves 9 --keep-windows 5000steps'.split(' ');
      return { args, says: 'merges/keep-saves.json', leaves: 'merges/.merge-watch' };
    },
  ],
];

export const HOSTILE_KEEPS: readonly HostileCase[] = CASES.map(([code, exit, place, make]) => ({
  code,
  exit,
  place: `keep: ${place}`,
  what: place,
  make,
}));
