import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve, sep } from 'node:path';
import { afterAll, expect, it, vi } from 'vitest';
import { MergeError } from '../../src/base/errors.ts';
import { localStore } from '../../src/base/store/local.ts';
import type { OpenFile } from '../../src/base/store/types.ts';
import { isOfMetadata } from '../../src/checkpoints/containers/dcp/allowed.ts';
import { readMetadata } from '../../src/checkpoints/containers/dcp/read-metadata.ts';
import { readPickle } from '../../src/checkpoints/containers/pickle/read-pickle.ts';
import { isOfTorch } from '../../src/checkpoints/containers/torch/allowed.ts';
import { readArchive } from '../../src/checkpoints/containers/torch/archive.ts';
import { leavesOf } from '../../src/checkpoints/containers/torch/state.ts';
import { tensorOf } from '../../src/checkpoints/containers/torch/tensor.ts';
import { readZip } from '../../src/checkpoints/containers/zip/read-zip.ts';
import { Region } from '../../src/checkpoints/containers/zip/region.ts';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import { seedOf } from '../support/campaign.ts';
import { unpackGolden } from '../support/containers.ts';
import { mutated } from '../support/mutate-bytes.ts';

/** Seconds for each reader: `.ci/full` gives more. */
const SECONDS = Number(process.env.CKPT_TEST_FUZZ_SECONDS ?? 0.2);
/**
 * What no input may take on a busy machine, in milliseconds, and how far memory may grow over all of them, in
 * bytes.
 */
const MOST_MS = 10_000;
const MOST_GROWTH = 2 ** 30;
const START = seedOf(20_261_130);

const home = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));
const golden = (name: string) => unpackGolden(name, join(home, name));
const [dcp, titan, megatron, ranks, sharded, torch] = [
  golden('dcp-2d'),
  golden('torchtitan'),
  golden('megatron'),
  golden('fsdp-rank-pt'),
  golden('dcp-hf'),
  golden('torch-pt'),
];

/** Files below a folder whose names match. */
const filesIn = (folder: string, name: RegExp): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => name.test(path))
    .sort()
    .map((path) => join(folder, path));
/** A folder of a golden that is a checkpoint: the first that has a file of that name. */
const checkpointIn = (folder: string, name: RegExp): string => resolve(filesIn(folder, name)[0]!, '..');

const archives = [...filesIn(torch, /\.pt$/), ...filesIn(ranks, /rank_\d\.pt$/)].slice(0, 6).map((path) => readFileSync(path));
const metadata = [dcp, titan, megatron]
  .flatMap((folder) => filesIn(folder, /(?:^|\/)\.metadata$/).slice(0, 1))
  .map((path) => readFileSync(path));

function memoryFile(bytes: Buffer): OpenFile {
  const read = (into: Uint8Array, position: number): number => {
    const part = bytes.subarray(position, position + into.length);
    into.set(part);
    return part.length;
  };
  return {
    path: '/fuzzed',
    stat: { kind: 'file', size: bytes.length, version: '', identity: '', modified: null, volume: '' },
    read: async (into, position) => read(into, position),
    readEach: async (into, length, positions) =>
      Int32Array.from(positions, (position, i) => read(into.subarray(i * length, (i + 1) * length), position)),
    close: async () => {},
  };
}

const pickleOf = async (bytes: Buffer): Promise<Buffer> => {
  const file = new Region(memoryFile(bytes), 'it');
  const entry = (await readZip(file)).find(({ name }) => name.endsWith('data.pkl'))!;
  return file.bytes(entry.offset, entry.size);
};

/** Opens a golden's checkpoint in which the files that `damaged` names are others. */
const inFolder = (from: string, damaged: RegExp) => {
  const folder = join(home, `fuzzed-${from.replaceAll(sep, '-').slice(-40)}`);
  cpSync(from, folder, { recursive: true });
  const files = filesIn(folder, damaged);
  const corpus = files.map((file) => readFileSync(file));
  return {
    corpus,
    async read(bytes: Buffer, i: number): Promise<void> {
      const file = files[i % files.length]!;
      writeFileSync(file, bytes);
      try {
        await openCheckpoint(folder);
      } finally {
        writeFileSync(file, corpus[i % files.length]!);
      }
    },
  };
};

interface Target {
  readonly corpus: readonly Buffer[];
  /** @param i the corpus's place of what the bytes were */
  read(bytes: Buffer, i: number): unknown;
}

const TARGETS: Readonly<Record<string, Target>> = {
  pickle: {
    corpus: [...metadata, ...(await Promise.all(archives.map(pickleOf)))],
    read: (bytes, i) => readPickle(bytes, { path: '/fuzzed', what: 'it' }, [() => true, isOfTorch, isOfMetadata][i % 3]!),
  },
  'directory of a zip': { corpus: archives, read: (bytes) => readZip(new Region(memoryFile(bytes), 'it')) },
  'state of an archive of torch': {
    corpus: archives,
    async read(bytes) {
      const { root } = await readArchive(new Region(memoryFile(bytes), 'it'));
      const fault = (text: string) => new MergeError('E_TORCH_FILE', text);
      for (const { value } of leavesOf(root, fault)) tensorOf(value);
    },
  },
  'metadata of torch.distributed': { corpus: metadata, read: (bytes) => readMetadata(bytes, '/fuzzed') },
  'a checkpoint of torch.distributed, its metadata': inFolder(checkpointIn(dcp, /(?:^|\/)\.metadata$/), /(?:^|\/)\.metadata$/),
  'a checkpoint of torch.distributed, its items': inFolder(checkpointIn(titan, /(?:^|\/)\.metadata$/), /\.distcp$/),
  'files of FSDP, one a rank': inFolder(checkpointIn(ranks, /rank_0\.pt$/), /rank_\d+\.pt$/),
  'files of safetensors, one a rank': inFolder(checkpointIn(sharded, /shard-.*\.safetensors$/), /shard-.*\.safetensors$/),
};

it.each(Object.entries(TARGETS))(
  '%s: whatever it is given is read or refused, soon, and nothing else is opened',
  { timeout: 1000 * SECONDS + 300_000 },
  async (name, target) => {
    const outside: string[] = [];
    const open = localStore.open;
    const spy = vi.spyOn(localStore, 'open').mockImplementation((path, known) => {
      if (!resolve(path).startsWith(home + sep)) outside.push(path);
      return open(path, known);
    });
    const before = process.memoryUsage().rss;
    const end = performance.now() + 1000 * SECONDS;
    let [times, refused] = [0, 0];
    try {
      for (; performance.now() < end; times++) {
        const i = times % target.corpus.length;
        const seed = START + 7919 * times;
        const bytes = mutated(target.corpus[i]!, target.corpus, seed);
        const started = performance.now();
        const error = await Promise.resolve()
          .then(() => target.read(bytes, i))
          .then(
            () => null,
            (thrown: unknown) => thrown,
          );
        if (error !== null) refused++;
        // What a guard made a fault of the file is still one of the reader.
        if (error !== null && (!(error instanceof MergeError) || error.cause instanceof TypeError || error.cause instanceof RangeError)) {
          throw new Error(`${name}, seed ${seed}, input ${i}: ${(error as Error).stack}`, { cause: error });
        }
        expect(performance.now() - started, `${name}, seed ${seed}, input ${i}`).toBeLessThan(MOST_MS);
      }
    } finally {
      spy.mockRestore();
    }
    process.stdout.write(`${name}: ${times} inputs, ${refused} refused, from seed ${START}\n`);
    expect(outside).toEqual([]);
    expect(existsSync('canary')).toBe(false);
    expect(process.memoryUsage().rss - before).toBeLessThan(MOST_GROWTH);
  },
);
