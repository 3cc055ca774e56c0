import { mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ErrorCode } from '../../src/base/errors.ts';
import { type DcpFields, type DcpTensor, object, type Part, sizeOf, writeDcp } from './dcp-files.ts';
import { makeFifo } from './safetensors.ts';
import { dictOf, number, op, pickle, tupleOf } from './torch-files.ts';

/** A folder of torch.distributed that must be refused. */
export interface HostileDcp {
  readonly code: ErrorCode;
  readonly place: string;
  readonly says: RegExp;
  readonly make: (folder: string) => void;
}

/** Two parts of a tensor of [4, 2], by rows. */
const TOP: Part = { start: [0, 0], size: [2, 2] };
const BOTTOM: Part = { start: [2, 0], size: [2, 2], file: '__1_0.distcp' };
const whole = (...parts: readonly Part[]): DcpTensor => ({ shape: [4, 2], parts });

const folder = (
  code: ErrorCode,
  place: string,
  says: RegExp,
  fields: Partial<DcpFields>,
  then: (path: string) => void = () => {},
): HostileDcp => ({
  code,
  place,
  says,
  make: (path) => {
    writeDcp(path, { tensors: { w: whole(TOP, BOTTOM) }, ...fields });
    then(path);
  },
});
const parts = (place: string, says: RegExp, ...of: readonly Part[]) =>
  folder('E_DCP', `boxes: ${place}`, says, { tensors: { w: whole(...of) } });
const named = (code: ErrorCode, place: string, says: RegExp, file: string) =>
  folder(code, `file: ${place}`, says, { tensors: { w: whole(TOP, { ...BOTTOM, file }) } });

/** A list of n parts of nothing to a tensor, of which the pickle says each tensor that it is the list of. */
const sharedParts = (tensors: number, parts: number) => {
  const metadata = 'torch.distributed.checkpoint.metadata';
  const part = object(metadata, 'ChunkStorageMetadata', { offsets: sizeOf([0]), sizes: sizeOf([0]) });
  const described = object(metadata, 'TensorStorageMetadata', {
    properties: Buffer.concat([
      op.global(metadata, 'TensorProperties'),
      op.emptyTuple,
      op.newObject,
      tupleOf(op.global('torch', 'float32'), op.none, op.no, op.none, op.no),
      op.build,
    ]),
    size: sizeOf([0]),
    chunks: Buffer.concat([
      op.emptyList,
      op.mark,
      part,
      op.put(1),
      ...Array.from({ length: parts - 1 }, () => op.get(1)),
      Buffer.from('e'),
    ]),
  });
  const names = Array.from({ length: tensors - 1 }, (_, i) => [op.text(`w${i}`), op.get(2)]).flat();
  return Buffer.concat([op.emptyDict, op.mark, op.text('w'), described, op.put(2), ...names, op.setItems]);
};

export const HOSTILE_DCP: readonly HostileDcp[] = [
  // Boxes
  parts('a part is missing', /w has a hole at \[2, 0\]/, TOP),
  parts('the first part is missing', /w has a hole at \[0, 0\]/, BOTTOM),
  parts('no part at all', /w has a hole at \[0, 0\]/),
  parts('the same part twice', /twice|w holds the element \[0, 0\] in two parts/, TOP, { ...TOP, file: '__1_0.distcp' }, BOTTOM),
  parts('one reaches into another', /w holds the element \[1, 0\] in two parts/, TOP, { ...BOTTOM, start: [1, 0], size: [3, 2] }),
  parts('a hole and an overlap of equal size', /w (?:has a hole|holds the element)/, TOP, { ...BOTTOM, start: [1, 0] }),
  parts('beyond the tensor', /reaches beyond \[4, 2\]/, TOP, { ...BOTTOM, start: [3, 0] }),
  parts('of another number of dimensions', /other dimensions than the whole/, TOP, { ...BOTTOM, start: [2], size: [2] }),
  folder('E_DCP', 'boxes: a tensor of 10^18 elements and one part', /hole at \[2, 0\]/, {
    tensors: { w: { shape: [10 ** 7, 10 ** 7], parts: [{ start: [0, 0], size: [2, 10 ** 7], stored: { shape: [2, 2] } }] } },
  }),
  folder('E_DCP', 'boxes: a tensor too large to be real', /too large to be real/, {
    tensors: { w: { shape: [2 ** 40, 2 ** 40], parts: [TOP] } },
  }),
  // Items against the metadata
  parts('an item of another shape', /has a part of \[1, 2\] here, which \.metadata says is \[2, 2\]/, TOP, {
    ...BOTTOM,
    stored: { shape: [1, 2] },
  }),
  folder('E_DCP', 'item: another dtype than in the metadata', /is BF16 here, and F32 in \.metadata/, {
    tensors: { w: whole({ ...TOP, stored: { class: 'BFloat16Storage' } }, BOTTOM) },
  }),
  folder('E_DCP', 'item: a dtype that safetensors lacks', /of the dtype torch\.complex128/, {
    tensors: { w: { ...whole(TOP, BOTTOM), dtype: 'complex128' } },
  }),
  folder('E_ZIP', 'item: longer than what it is', /the archive has no end/, {
    tensors: { w: whole({ ...TOP, stored: { behind: 500 } }, BOTTOM) },
  }),
  folder('E_FILE_TRUNCATED', 'item: beyond the end of its file', /and w reaches to \d+/, {
    tensors: { w: whole(TOP, { ...BOTTOM, offset: 10 ** 6 }) },
  }),
  folder('E_DCP', 'item: at less than nothing', /in no way that is known/, { tensors: { w: whole(TOP, { ...BOTTOM, offset: -1 }) } }),
  folder('E_OVERLAP', 'item: into the one behind it', /reaches into the one behind it/, {
    tensors: { w: whole(TOP, { ...BOTTOM, file: '__0_0.distcp', offset: 8 }) },
  }),
  folder('E_DCP', 'item: compressed', /compressed or transformed/, {
    info: { transform_descriptors: Buffer.concat([op.emptyList, op.text('stream.zstd/1'), op.append]) },
  }),
  folder('E_FILE_TRUNCATED', 'item: its file was cut', /and w reaches to \d+/, {}, (path) => truncateSync(join(path, '__1_0.distcp'), 40)),
  folder('E_ZIP', 'item: its file was overwritten', /the archive has no end|is not where/, {}, (path) => {
    const file = join(path, '__1_0.distcp');
    writeFileSync(file, Buffer.alloc(readFileSync(file).length));
  }),
  // Files
  named('E_INDEX_PATH', 'in the folder above', /no plain name/, '../__1_0.distcp'),
  named('E_INDEX_PATH', 'an absolute path', /no plain name/, '/etc/hostname'),
  named('E_INDEX_PATH', 'a path below', /no plain name/, 'a/b.distcp'),
  named('E_INDEX_PATH', 'a name without letters', /no plain name/, ''),
  named('E_INDEX_PATH', 'the folder above itself', /no plain name/, '..'),
  folder('E_SHARD_MISSING', 'file: of a rank is missing', /names __1_0\.distcp, and it is not there/, {}, (path) =>
    rmSync(join(path, '__1_0.distcp')),
  ),
  folder('E_NOT_READABLE', 'file: a FIFO', /__1_0\.distcp: is a FIFO, not a regular file/, {}, (path) => {
    rmSync(join(path, '__1_0.distcp'));
    makeFifo(join(path, '__1_0.distcp'));
  }),
  folder('E_NOT_READABLE', 'file: a link to a folder', /__1_0\.distcp/, {}, (path) => {
    rmSync(join(path, '__1_0.distcp'));
    symlinkSync(path, join(path, '__1_0.distcp'));
  }),
  // The metadata
  folder('E_DCP', 'metadata: of something else', /no metadata of a checkpoint/, {
    root: ['torch.distributed.checkpoint.metadata', 'StorageMeta'],
  }),
  folder('E_DCP', 'metadata: describes no tensors', /describes no tensors/, {
    state: ({ storage_data }) => ({ storage_data: storage_data! }),
  }),
  folder('E_DCP', 'metadata: says of nothing where it lies', /says of no tensor where it lies/, {
    state: ({ state_dict_metadata }) => ({ state_dict_metadata: state_dict_metadata! }),
  }),
  folder('E_DCP', 'metadata: a part without a place', /nothing says where it lies/, { places: { w: 0 } }),
  folder('E_DCP', 'metadata: a part with two places', /says twice where w lies|that it does not describe/, { places: { w: 2 } }),
  folder('E_DCP', 'metadata: a place of what it does not describe', /which it does not describe/, {
    state: (own) => ({ ...own, state_dict_metadata: dictOf({}) }),
  }),
  folder('E_DCP', 'metadata: a tensor that is none', /described as no tensor is/, {
    state: (own) => ({ ...own, state_dict_metadata: dictOf({ w: number(3) }) }),
  }),
  folder('E_DCP', 'metadata: 4,000 tensors that share 4,000 parts', /\.metadata: w523 and the tensors before it have more than \d+ parts/, {
    state: (own) => ({ ...own, state_dict_metadata: sharedParts(4000, 4000) }),
  }),
  folder('E_DCP', 'metadata: a part of 10,000 dimensions', /other dimensions than the whole/, {
    tensors: { w: whole({ ...TOP, start: Array.from({ length: 10_000 }, () => 0) }) },
  }),
  folder('E_NO_TENSORS', 'metadata: no tensor at all', /no tensors/, { tensors: {} }),
  folder('E_PICKLE_CLASS', 'metadata: names os.system', /names os\.system/, {}, (path) =>
    writeFileSync(join(path, '.metadata'), pickle(op.global('os', 'system'), op.mark, op.text('touch canary'), op.tuple, op.reduce)),
  ),
  folder('E_PICKLE_CLASS', 'metadata: a class that is like one of torch', /names torch\.distributed\.checkpoint\.metadata2\.Metadata/, {
    root: ['torch.distributed.checkpoint.metadata2', 'Metadata'],
  }),
  folder('E_PICKLE', 'metadata: cut off', /ends before its STOP|ends inside an operand/, {}, (path) =>
    truncateSync(join(path, '.metadata'), 150),
  ),
  folder('E_PICKLE', 'metadata: empty', /ends before its STOP/, {}, (path) => truncateSync(join(path, '.metadata'), 0)),
  folder('E_PICKLE', 'metadata: bytes behind its end', /goes on after its end/, {}, (path) =>
    writeFileSync(join(path, '.metadata'), Buffer.concat([readFileSync(join(path, '.metadata')), Buffer.from('x')])),
  ),
];

/** The folder of a case. @returns its path */
export function makeHostileDcp({ make }: HostileDcp): string {
  const path = join(mkdtempSync(join(tmpdir(), 'ckpt-merge-test-')), 'step-100');
  make(path);
  return path;
}
