import { cpSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type FixtureTensor, safetensorsBytes, writeCheckpoint } from './checkpoints.ts';
import { inOwnMounts, NO_MOUNTS } from './faults-shell.ts';
import type { HostileCase, HostileSetup } from './hostile-case.ts';
import { EMBED, good, NORM } from './hostile-inputs.ts';
import { makeFifo } from './safetensors.ts';

/** 2 MiB: more than the limits below, little enough to be made in no time. */
const BIG: FixtureTensor = { name: 'big.weight', dtype: 'BF16', shape: [1024, 1024], data: new Uint8Array(2 ** 21) };

/** A preparation that only makes something. */
const made =
  (make: (folder: string) => unknown) =>
  (folder: string): Partial<HostileSetup> => {
    make(folder);
    return {};
  };

/** A case in which checkpoints `run/a` and `run/b` are there, and the output is at fault. */
function output(
  code: HostileCase['code'],
  exit: number,
  place: string,
  out: string,
  prepare: (folder: string) => Partial<HostileSetup> = () => ({}),
  words: readonly string[] = [],
): HostileCase {
  return {
    code,
    exit,
    place: `average: ${place}`,
    what: `-o ${out.length > 60 ? `${out.slice(0, 20)}…` : out} ${words.join(' ')}`.trim(),
    make: (folder) => {
      const inputs = [good(folder, 'run/a', 1), good(folder, 'run/b', 2)];
      return { args: ['average', ...inputs, '-o', out, ...words], file: out, ...prepare(folder) };
    },
  };
}

const overlap = (place: string, out: string, prepare?: (folder: string) => Partial<HostileSetup>) =>
  output('E_OUTPUT_OVERLAPS_INPUT', 2, place, out, prepare, ['--force']);

const files = (folder: string) => {
  for (const name of ['x', 'y']) writeFileSync(join(folder, `${name}.safetensors`), safetensorsBytes([EMBED, NORM], 3));
  return ['x.safetensors', 'y.safetensors'];
};

/**
 * A small disk at `disk`, on which nothing may be left when the merge has failed: nobody can look at it
 * later.
 */
function onSmallDisk(options: string): string {
  const clean = 'if [ -n "$(ls -A disk)" ]; then echo "left on the disk: $(ls -A disk)" >&2; exit 99; fi';
  return inOwnMounts(`mount -t tmpfs -o ${options} tmpfs disk && "$@"; code=$?; ${clean}; exit $code`);
}

const big = (folder: string) => {
  for (const name of ['p', 'q']) writeCheckpoint(join(folder, name), [[BIG, NORM]], 1);
  mkdirSync(join(folder, 'disk'));
  return ['p', 'q'];
};

export const HOSTILE_OUTPUTS: readonly HostileCase[] = [
  overlap('output equal to an input', 'run/a'),
  overlap('output equal to an input, by another name', 'run/../run/./b/'),
  overlap('output above the inputs', 'run'),
  overlap('output inside an input', 'run/a/merged'),
  overlap('output far inside an input', 'run/b/new/deep/merged'),
  overlap(
    'output inside an input, through a link',
    'link/merged',
    made((folder) => symlinkSync('run/a', join(folder, 'link'))),
  ),
  overlap('output holds the target of a linked shard', 'store', (folder) => {
    cpSync(join(folder, 'run/a'), join(folder, 'store/blob'), { recursive: true });
    mkdirSync(join(folder, 'cache'));
    symlinkSync('../store/blob/model.safetensors', join(folder, 'cache/model.safetensors'));
    return { args: ['average', 'run/a', 'cache', '-o', 'store', '--force'] };
  }),
  overlap('output is an input file', 'x.safetensors', (folder) => ({
    args: ['average', ...files(folder), '-o', 'x.safetensors', '--force'],
  })),
  overlap('output is the layout', 'like', (folder) => ({
    args: ['average', 'run/a', 'run/b', '--like', good(folder, 'like', 3), '-o', 'like', '--force'],
  })),
  output(
    'E_OUTPUT_KIND',
    2,
    'output is a FIFO',
    'pipe',
    made((folder) => makeFifo(join(folder, 'pipe'))),
    ['--force'],
  ),
  output(
    'E_OUTPUT_KIND',
    2,
    'output is a socket',
    'socket',
    made((folder) => createServer().listen(join(folder, 'socket')).unref()),
  ),
  output(
    'E_OUTPUT_KIND',
    2,
    'file in place of the parent',
    'file/out',
    made((folder) => writeFileSync(join(folder, 'file'), 'x')),
  ),
  output(
    'E_OUTPUT_KIND',
    2,
    'link to nothing',
    'link',
    made((folder) => symlinkSync('unmounted/merged', join(folder, 'link'))),
  ),
  output(
    'E_OUTPUT_KIND',
    2,
    'link in a circle',
    'link/out',
    made((folder) => symlinkSync('link', join(folder, 'link'))),
  ),
  output('E_OUTPUT_KIND', 2, 'name too long', 'n'.repeat(280)),
  output(
    'E_OUTPUT_KIND',
    2,
    'file in place of the folder',
    'notes',
    made((folder) => writeFileSync(join(folder, 'notes'), 'mine')),
    ['--force'],
  ),
  output(
    'E_OUTPUT_KIND',
    2,
    'folder in place of the file',
    'z.safetensors',
    (folder) => {
      mkdirSync(join(folder, 'z.safetensors/mine'), { recursive: true });
      return { args: ['average', ...files(folder), '-o', 'z.safetensors', '--force'] };
    },
    ['--force'],
  ),
  output(
    'E_OUTPUT_EXISTS',
    4,
    'output folder',
    'old',
    made((folder) => good(folder, 'old', 9)),
  ),
  output(
    'E_OUTPUT_EXISTS',
    4,
    'file where the folder goes',
    'notes',
    made((folder) => writeFileSync(join(folder, 'notes'), 'mine')),
  ),
  output('E_OUTPUT_EXISTS', 4, 'output file', 'z.safetensors', (folder) => {
    writeFileSync(join(folder, 'z.safetensors'), 'mine');
    return { args: ['average', ...files(folder), '-o', 'z.safetensors'] };
  }),
  output(
    'E_OUTPUT_EXISTS',
    4,
    'folder behind a link',
    'link',
    made((folder) => symlinkSync(good(folder, 'old', 9), join(folder, 'link'))),
  ),
  {
    ...output('E_READ_ONLY', 1, 'read-only parent', 'disk/out', (folder) => {
      mkdirSync(join(folder, 'disk'));
      return { file: 'disk/', shell: inOwnMounts('mount --bind disk disk && mount -o remount,ro,bind disk && exec "$@"') };
    }),
    skip: NO_MOUNTS,
  },
  {
    ...output('E_OUTPUT_KIND', 2, 'mount point', 'disk', (folder) => {
      mkdirSync(join(folder, 'disk'));
      return { shell: inOwnMounts('mount -t tmpfs tmpfs disk && exec "$@"') };
    }),
    skip: NO_MOUNTS,
  },
  {
    ...output('E_NO_SPACE', 6, 'disk smaller than the merge', 'disk/new/out', (folder) => ({
      args: ['average', ...big(folder), '-o', 'disk/new/out'],
      shell: onSmallDisk('size=1m'),
    })),
    skip: NO_MOUNTS,
  },
  {
    // Room for every byte, but not for every file: it fails when all tensors are written, and would keep them.
    ...output('E_NO_SPACE', 6, 'disk without room for another file', 'disk/out', (folder) => ({
      args: ['average', ...big(folder), '-o', 'disk/out', '--no-keep'],
      file: 'disk/',
      shell: onSmallDisk('size=64m,nr_inodes=7'),
    })),
    skip: NO_MOUNTS,
  },
  {
    // 1 MiB, in blocks of 1024 bytes. What the kernel sends for it, SIGXFSZ, would end the process unless it
    // is ignored.
    ...output('E_NO_SPACE', 6, 'file size limit, folder', 'out', (folder) => ({
      args: ['average', ...big(folder), '-o', 'out'],
      shell: 'ulimit -f 1024; exec "$@"',
      says: 'EFBIG',
    })),
  },
  {
    ...output('E_NO_SPACE', 6, 'file size limit, single file read with --io read', 'new/out.safetensors', (folder) => {
      const inputs = big(folder).map((name) => `${name}/model.safetensors`);
      return {
        args: ['average', ...inputs, '--io', 'read', '-o', 'new/out.safetensors'],
        shell: 'ulimit -f 1024; exec "$@"',
        says: 'ulimit -f',
      };
    }),
  },
  {
    code: 'E_NO_MEMORY',
    exit: 6,
    place: 'average: --memory smaller than any tile',
    what: '--memory 1k',
    make: (folder) => ({ args: ['average', good(folder, 'a'), good(folder, 'b', 2), '--memory', '1k', '-o', 'new/out'], says: '--memory' }),
  },
  {
    code: 'E_NONFINITE',
    exit: 3,
    place: 'average: NaN in an input with --fail-nonfinite',
    what: 'NaN in an input',
    make: (folder) => {
      writeCheckpoint(join(folder, 'bad'), [[EMBED, { ...NORM, data: new Uint8Array(16).fill(255, 4, 8) }]], 2);
      const args = ['average', good(folder, 'a'), 'bad', '--fail-nonfinite', '-o', 'new/out'];
      return { args, tensor: 'norm.weight', says: 'bad' };
    },
  },
];
