import { cpSync, mkdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { unpackGolden } from './containers.ts';
import { type DcpTensor, type Part, writeDcp } from './dcp-files.ts';
import type { HostileCase, HostileSetup } from './hostile-case.ts';
import { HOSTILE_DCP } from './hostile-dcp.ts';
import { HOSTILE_TORCH_FILES } from './hostile-torch.ts';
import { writeTree } from './run-trees.ts';
import { smallFile } from './safetensors.ts';
import { dictOf, op, pickle, tensor, torchFiles, tupleOf, zipOf } from './torch-files.ts';

/**
 * Command lines on checkpoints of containers that must be refused: one of each kind, with the fault where a
 * user meets it.
 */

const PARTS: readonly Part[] = [
  { start: [0, 0], size: [2, 2] },
  { start: [2, 0], size: [2, 2], file: '__1_0.distcp' },
];
const W: DcpTensor = { shape: [4, 2], parts: PARTS };
/** A sound step of torch.distributed of the tensors `w.weight` and `norm.weight`. */
export function soundDcp(path: string, more: Readonly<Record<string, DcpTensor>> = {}): void {
  writeDcp(path, { tensors: { 'w.weight': W, 'norm.weight': { shape: [2], parts: [{ start: [0], size: [2] }] }, ...more } });
}
export const SOUND_TORCH = zipOf(torchFiles(pickle(dictOf({ w: tensor() }))));
const touching = (module: string, name: string) => pickle(op.global(module, name), tupleOf(op.text('touch canary')), op.reduce);

const EXIT = 3;
type Make = (folder: string) => Omit<HostileSetup, 'args'> & { readonly args?: readonly string[] };
const hostile = (code: HostileCase['code'], place: string, args: readonly string[], make: Make): HostileCase => ({
  code,
  exit: EXIT,
  place,
  what: `merge ${args.join(' ')}`,
  make: (folder) => {
    const { args: own = args, ...setup } = make(folder);
    return { ...setup, args: own };
  },
});

/** Two sound steps of a run and what is done to a third. */
const third = (code: HostileCase['code'], place: string, args: readonly string[], spoil: (step: string) => Omit<HostileSetup, 'args'>) =>
  hostile(code, place, args, (folder) => {
    for (const step of ['step-100', 'step-200', 'step-300']) soundDcp(join(folder, 'run', step));
    return spoil(join(folder, 'run/step-300'));
  });
const AVERAGE = ['average', 'run/step-200', 'run/step-300', '-o', 'out'];
const STRICT = ['average', 'run', '--last', '3', '--strict', '-o', 'out'];

/** The first of a list with that code. */
const torchFile = (code: HostileCase['code']) => HOSTILE_TORCH_FILES.find((one) => one.code === code)!;
const dcpFolder = (place: string) => HOSTILE_DCP.find((one) => one.place === place)!;
const golden = (name: string, path: string, to: string) =>
  cpSync(join(unpackGolden(name, `${to}.unpacked`), path), to, { recursive: true });

export const HOSTILE_CONTAINERS: readonly HostileCase[] = [
  // Files of torch.save
  ...(['E_PICKLE_CLASS', 'E_PICKLE', 'E_TORCH_FILE', 'E_ZIP'] as const).map((code, i) =>
    hostile(
      code,
      `torch.save: ${torchFile(code).place}`,
      [
        ['average', 'bad.pt', 'good.pt', '-o', 'out'],
        ['inspect', 'bad.pt'],
        ['plan', 'good.pt', 'bad.pt'],
        ['convert', 'bad.pt', '-o', 'out'],
      ][i]!,
      (folder) => {
        writeTree(folder, { 'good.pt': SOUND_TORCH, 'bad.pt': torchFile(code).bytes() });
        return { file: 'bad.pt' };
      },
    ),
  ),
  hostile('E_OTHER_CONTENT', 'torch.save: of before version 1.6', ['inspect', 'old.pt'], (folder) => {
    writeFileSync(
      join(folder, 'old.pt'),
      Buffer.concat([Buffer.from('\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19', 'latin1'), Buffer.alloc(64)]),
    );
    return { file: 'old.pt', says: 'torch.save' };
  }),
  hostile(
    'E_OTHER_CONTENT',
    'torch.save: a plain pickle that would run a command',
    ['average', 'bad.pt', 'good.pt', '-o', 'out'],
    (folder) => {
      // Of protocol 4, as pickle.dump writes it.
      const frame = Buffer.concat([Buffer.from([0x80, 4, 0x95, 40, 0, 0, 0, 0, 0, 0, 0]), touching('os', 'system').subarray(2)]);
      writeTree(folder, { 'good.pt': SOUND_TORCH, 'bad.pt': frame });
      return { file: 'bad.pt', says: 'pickle' };
    },
  ),
  hostile('E_NO_CHECKPOINT', 'GGUF', ['average', 'a.gguf', 'b.gguf', '-o', 'out'], (folder) => {
    writeTree(folder, { 'a.gguf': 'GGUF', 'b.gguf': 'GGUF' });
    return { file: 'a.gguf', says: 'gguf_file' };
  }),
  hostile('E_NO_CHECKPOINT', 'Orbax', ['inspect', 'step'], (folder) => {
    writeTree(join(folder, 'step'), { _CHECKPOINT_METADATA: '{}', 'manifest.ocdbt': '\x0c\xdb\x3a\x2a', 'd/0': 'x' });
    return { file: 'step', says: 'to_huggingface of MaxText' };
  }),
  hostile('E_NO_CHECKPOINT', 'DeepSpeed ZeRO 3', ['convert', 'run/global_step100', '-o', 'out'], (folder) => {
    golden('deepspeed-zero3', 'global_step100', join(folder, 'run/global_step100'));
    return { file: 'global_step100', says: '--safe_serialization --tag global_step100' };
  }),
  hostile('E_NO_CHECKPOINT', 'DeepSpeed universal', ['plan', 'step', 'step'], (folder) => {
    golden('deepspeed-universal', 'global_step100_universal', join(folder, 'step'));
    return { file: 'step', says: 'fp32.pt' };
  }),
  hostile('E_NO_CHECKPOINT', 'Megatron-LM of two ranks', ['inspect', 'iter_0000100'], (folder) => {
    const rank = zipOf(torchFiles(pickle(dictOf({ model: dictOf({ w: tensor() }) }))));
    writeTree(join(folder, 'iter_0000100'), { 'mp_rank_00/model_optim_rng.pt': rank, 'mp_rank_01/model_optim_rng.pt': rank });
    return { file: 'iter_0000100', says: '--ckpt-convert-format torch_dist' };
  }),
  hostile('E_SHARD_MISSING', 'FSDP: a rank of two is missing', ['inspect', 'global_step_100'], (folder) => {
    golden('fsdp-rank-pt', 'global_step_100', join(folder, 'global_step_100'));
    rmSync(join(folder, 'global_step_100/actor/model_world_size_2_rank_1.pt'));
    return { file: 'rank_1' };
  }),
  // Folders of torch.distributed
  ...[
    'boxes: a part is missing',
    'boxes: one reaches into another',
    'item: another dtype than in the metadata',
    'item: into the one behind it',
    'item: compressed',
    'item: its file was overwritten',
    'file: in the folder above',
    'metadata: names os.system',
    'metadata: cut off',
    'metadata: no tensor at all',
  ].map((place, i) =>
    hostile(
      dcpFolder(place).code,
      `DCP: ${place}`,
      [
        ['average', 'bad', 'good', '-o', 'out'],
        ['inspect', 'bad'],
        ['diff', 'good', 'bad'],
        ['convert', 'bad', '-o', 'out'],
      ][i % 4]!,
      (folder) => {
        writeDcp(join(folder, 'good'), { tensors: { w: W } });
        mkdirSync(join(folder, 'bad'));
        dcpFolder(place).make(join(folder, 'bad'));
        return { file: 'bad' };
      },
    ),
  ),
  third('E_SHARD_MISSING', 'DCP: a rank is missing, named', AVERAGE, (step) => {
    rmSync(join(step, '__1_0.distcp'));
    return { says: 'step-300/.metadata names __1_0.distcp, and it is not there' };
  }),
  third('E_STRICT', 'DCP: a rank is missing, in a run', STRICT, (step) => {
    rmSync(join(step, '__1_0.distcp'));
    return { says: 'step-300: incomplete' };
  }),
  third('E_FILE_TRUNCATED', 'DCP: a file of items is cut', AVERAGE, (step) => {
    truncateSync(join(step, '__1_0.distcp'), 700);
    return { file: 'step-300/__1_0.distcp', tensor: 'w.weight' };
  }),
  third(
    'E_TOO_FEW_MEMBERS',
    'DCP: a save that goes on, in a run',
    ['average', 'run', '--last', '3', '--min-members', '3', '-o', 'out'],
    (step) => {
      renameSync(join(step, '.metadata'), join(step, '.metadata.tmp'));
      return { says: 'there are 2 members' };
    },
  ),
  third('E_DCP', 'DCP: each rank describes its own', ['average', 'run/step-200', 'run/step-300', '-o', 'out'], (step) => {
    renameSync(join(step, '.metadata'), join(step, '__0.metadata'));
    return { file: 'step-300', says: 'use_collectives=False' };
  }),
  third('E_DCP', 'DCP: SerializationFormat.SAFETENSORS', AVERAGE, (step) => {
    writeFileSync(join(step, '__0_0.distcp'), Buffer.concat([smallFile('w'), Buffer.alloc(4000)]));
    return { file: '__0_0.distcp', says: 'SerializationFormat.SAFETENSORS' };
  }),
  // Members that do not go together
  third('E_STRICT', 'another model in a run', STRICT, (step) => {
    rmSync(step, { recursive: true });
    writeDcp(step, { tensors: { a: W, b: W, c: W } });
    return { says: 'step-300: unlike the others of the run: 3 tensors of another model' };
  }),
  third('E_TENSOR_MISSING', 'another model, named', ['plan', 'run/step-300', 'run/step-200', '--like', 'run/step-200'], (step) => {
    rmSync(step, { recursive: true });
    writeDcp(step, { tensors: { 'w.weight': W } });
    return { file: 'step-300', tensor: 'norm.weight' };
  }),
  third('E_SHAPE', 'another size of one tensor, named', AVERAGE, (step) => {
    rmSync(step, { recursive: true });
    soundDcp(step, { 'norm.weight': { shape: [3], parts: [{ start: [0], size: [3] }] } });
    return { tensor: 'norm.weight' };
  }),
  hostile('E_MIXED_DTYPES', "torchtitan's last step, named", ['average', 'step-200', 'step-201', '-o', 'out'], (folder) => {
    const run = join(unpackGolden('torchtitan', join(folder, 'golden')), 'checkpoint');
    for (const step of ['step-200', 'step-201']) cpSync(join(run, step), join(folder, step), { recursive: true });
    return { tensor: 'norm.weight' };
  }),
  hostile(
    'E_STRICT',
    "torchtitan's last step, in a run",
    ['average', 'torchtitan/checkpoint', '--last', '2', '--strict', '-o', 'out'],
    (folder) => {
      unpackGolden('torchtitan', folder);
      return { says: 'step-201: unlike the others of the run: the model alone' };
    },
  ),
  // Runs of nothing that is read
  hostile('E_NO_RUN', 'a run of ZeRO 3', ['average', 'deepspeed-zero3', '-o', 'out'], (folder) => {
    unpackGolden('deepspeed-zero3', folder);
    return { says: 'DeepSpeed ZeRO-3' };
  }),
  hostile('E_NO_RUN', 'a run of pickles that would run a command', ['ls', 'run'], (folder) => {
    writeTree(join(folder, 'run'), { 'step-1/.metadata': touching('os', 'system'), 'step-2/.metadata': touching('posix', 'system') });
    return { says: 'names os.system' };
  }),
];
