import { type Dtype, dtypeByName } from '../../../base/dtype.ts';
import { MergeError } from '../../../base/errors.ts';
import { type Allowed, readPickle } from '../pickle/read-pickle.ts';
import type { Value } from '../pickle/values.ts';
import { readZip, refuseCompressed, type ZipEntry } from '../zip/read-zip.ts';
import type { Region } from '../zip/region.ts';
import { isOfTorch } from './allowed.ts';
import { TORCH_DTYPES } from './dtypes.ts';
import { extentOfView, type NoTensor, type TorchTensor } from './tensor.ts';

/** An archive of torch.save, read but for its storages. */
export interface TorchArchive {
  /** What was saved. */
  readonly root: Value;
  /** Storages by name: where each begins in the archive, and its bytes. */
  readonly storages: ReadonlyMap<string, ZipEntry>;
}

/** Where a view of a storage lies. */
export interface PlacedTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly stride: readonly number[];
  /** Where its first element begins, in bytes from the beginning of the archive. */
  readonly at: number;
}

/**
 * Reads what torch.save wrote, but for the storages.
 * @param allowed which classes and functions it may name
 * @throws MergeError E_ZIP, E_PICKLE, E_PICKLE_CLASS; E_TORCH_FILE for an archive of something else
 */
export async function readArchive(region: Region, allowed: Allowed = isOfTorch): Promise<TorchArchive> {
  const entries = await readZip(region);
  const pickles = entries.filter(({ name }) => /^[^/]+\/data\.pkl$/.test(name));
  const [pickle] = pickles;
  const fault = (text: string): MergeError =>
    new MergeError('E_TORCH_FILE', `${region.path}: ${region.what} ${text}`, { details: { file: region.path } });
  if (pickle === undefined) {
    const numpy = entries.length > 0 && entries.every(({ name }) => name.endsWith('.npy'));
    throw fault(numpy ? 'is an archive of numpy (.npz)' : 'holds no data.pkl: the save was broken off, or it is another archive');
  }
  const root = pickle.name.slice(0, -'data.pkl'.length);
  if (pickles.length > 1 || entries.some(({ name }) => !name.startsWith(root))) throw fault('holds more than one folder');
  if (entries.some(({ name }) => name === `${root}constants.pkl`)) throw scriptError(region);
  refuseCompressed(region, entries);
  const order = entries.find(({ name }) => name === `${root}byteorder`);
  if (order !== undefined) {
    const said = (await region.bytes(order.offset, Math.min(order.size, 16))).toString('latin1');
    if (said !== 'little') throw fault(`was written with the byte order ${JSON.stringify(said)}`);
  }
  const bytes = await region.bytes(pickle.offset, pickle.size);
  const source = { path: region.path, what: `data.pkl of ${region.what}`, offset: region.from + pickle.offset };
  const folder = `${root}data/`;
  return {
    root: readPickle(bytes, source, allowed),
    storages: new Map(entries.filter(({ name }) => name.startsWith(folder)).map((entry) => [entry.name.slice(folder.length), entry])),
  };
}

function scriptError({ path, what }: Region): MergeError {
  return new MergeError('E_TORCH_FILE', `${path}: ${what} is a TorchScript module, and no saved weights`, {
    details: { file: path },
    help: 'Save its weights: torch.save(torch.jit.load(PATH).state_dict(), OTHER).',
  });
}

/**
 * Finds a tensor in its archive, and checks that it lies within its storage.
 * @returns what forbids it, as half a sentence, where it cannot be read
 */
export function placeInStorage(tensor: TorchTensor, storages: ReadonlyMap<string, ZipEntry>): PlacedTensor | NoTensor {
  const name = TORCH_DTYPES.get(tensor.dtype);
  if (name === undefined) return { refused: `is of the dtype ${tensor.dtype}, which safetensors does not have` };
  const dtype = dtypeByName(name)!;
  const storage = storages.get(tensor.storage);
  if (storage === undefined) return { refused: `lies in storage ${tensor.storage}, which is not in the file` };
  const size = dtype.bits / 8;
  const unit = tensor.storageDtype === null ? 1 : size;
  if (tensor.numel * unit !== storage.size) {
    return { refused: `lies in a storage of ${storage.size} bytes that is said to have ${tensor.numel * unit}` };
  }
  if (!(extentOfView(tensor) * size <= storage.size)) return { refused: 'reaches beyond its storage' };
  return { dtype, shape: tensor.shape, stride: tensor.stride, at: storage.offset + tensor.offset * size };
}
