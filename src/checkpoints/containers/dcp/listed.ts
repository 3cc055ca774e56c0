import { join } from 'node:path';
import { mapBounded } from '../../../base/map-bounded.ts';
import { readExactly, readStart } from '../../../base/store/store.ts';
import type { ContainedState, Found, Opened } from '../types.ts';
import { ItemFiles } from './item-files.ts';
import type { DcpMetadata } from './read-metadata.ts';
import { type PlacedItem, stateOf } from './state.ts';

/** A checkpoint that was opened, as others of its run are compared with it. */
export interface ReadCheckpoint {
  readonly opened: Opened;
  readonly metadata: DcpMetadata;
  /** All of `.metadata`. */
  readonly bytes: Buffer;
  /** Below the path of the checkpoint. */
  readonly inner: string;
}

interface Template extends Omit<ReadCheckpoint, 'bytes'> {
  /** `.metadata` as far as it says which tensors there are, and in which boxes. */
  readonly described: Buffer;
  readonly length: number;
  readonly end: Buffer;
  /** Bytes of each file of items. */
  readonly sizes: readonly number[];
}

/**
 * What pickle has for the field behind those that describe the tensors, in the order of torch's own class.
 */
const BEHIND = Buffer.from('\x8c\x0cstorage_data', 'latin1');
/** The last opcodes: a copy that was cut off has others. */
const END = 3;
/**
 * Share by which lengths of `.metadata` of one run differ at most: numbers in it have more digits or fewer.
 */
const LONGER = 0.25;
/** Templates that are kept: a run changes its sharding now and then. */
const MOST = 4;
/** The last record of an archive. */
const ARCHIVE_END = Buffer.from('PK\x05\x06', 'latin1');
const ARCHIVE_END_BYTES = 22;
/** Files that are looked at at the same time. */
const LOOKED_AT = 16;

/**
 * Checkpoints of a run as a list of it needs them. Most steps describe the same tensors in the same boxes,
 * byte for byte: of such a step that is compared, and not read again; its files are there and end where an
 * archive does; and what the trainer says of it must name its step. Of all others, and of what is merged,
 * everything is read.
 */
export class ListedCheckpoints {
  readonly #templates: Template[] = [];
  #turn: Promise<void> = Promise.resolve();

  /**
   * @param named step that the name of the folder gives; null where it gives none
   * @param read opens one as it is for a merge
   * @returns a checkpoint to look at, and not to read from: its boxes may be those of another
   * @throws what `read` throws
   */
  async find(found: Found, named: number | null, read: () => Promise<ReadCheckpoint>): Promise<Opened> {
    const first = await this.#like(found, named, this.#templates);
    if (first !== null) return first;
    // One at a time: the next one may be like this.
    const before = this.#turn;
    let done = (): void => {};
    this.#turn = new Promise((resolve) => {
      done = resolve;
    });
    await before;
    try {
      const later = await this.#like(found, named, this.#templates);
      if (later !== null) return later;
      const { bytes, ...whole } = await read();
      this.#keep(bytes, whole);
      return whole.opened;
    } finally {
      done();
    }
  }

  #keep(bytes: Buffer, whole: Omit<ReadCheckpoint, 'bytes'>): void {
    const to = bytes.indexOf(BEHIND);
    if (to < 0) return;
    const template = {
      ...whole,
      described: Buffer.from(bytes.subarray(0, to)),
      length: bytes.length,
      end: Buffer.from(bytes.subarray(bytes.length - END)),
      sizes: whole.opened.files.map(({ stat }) => stat.size),
    };
    if (this.#templates.unshift(template) > MOST) this.#templates.pop();
  }

  async #like(found: Found, named: number | null, templates: readonly Template[]): Promise<Opened | null> {
    for (const template of [...templates]) {
      const like = await likeTemplate(found, named, template).catch(() => null);
      if (like !== null) return like;
    }
    return null;
  }
}

async function likeTemplate(found: Found, named: number | null, template: Template): Promise<Opened | null> {
  const { opened, metadata, inner, described, sizes } = template;
  const { store } = found;
  const folder = join(found.path, inner);
  const path = join(folder, '.metadata');
  const stat = await store.stat(path);
  if (Math.abs(stat.size - template.length) > LONGER * template.length) return null;
  if (!(await readStart(path, described.length)).equals(described)) return null;
  if (!(await endOf(found, path, END)).equals(template.end)) return null;
  const files = await ItemFiles.of(store, folder, metadata.files);
  await mapBounded([...sizes.keys()], LOOKED_AT, async (i) => {
    if (files.stats[i]!.size === sizes[i]) return;
    const end = await endOf(found, files.paths[i]!, ARCHIVE_END_BYTES);
    if (!end.subarray(0, ARCHIVE_END.length).equals(ARCHIVE_END)) throw new RangeError('it does not end as an archive does');
  });
  // Where the name says the step, no other is asked for.
  const asked = opened.state?.byKey !== true || named === null;
  const state = asked ? await stateLike(found, named, template, files) : null;
  // Where it lies where it lay in the other one, it says the step.
  if (asked && opened.state != null && state === null) return null;
  const at = opened.files.map(({ name }, i) => ({ name, path: files.paths[i]!, stat: files.stats[i]! }));
  return {
    ...opened,
    // What its trainer was started with is not looked for in a list.
    arguments: async () => null,
    files: at,
    shards: opened.shards.map((shard) => ({ ...shard, path: at[0]!.path, stat: at[0]!.stat })),
    heads: [{ name: join(inner, '.metadata'), path, stat }],
    state: state ?? undefined,
  };
}

/**
 * What the trainer says, at the place of another step's or moved by as much as the file is longer: what it
 * writes before it, or it itself, has more digits. Null where none of these says the step that the name does.
 */
async function stateLike(found: Found, named: number | null, template: Template, files: ItemFiles): Promise<ContainedState | null> {
  if (template.opened.state == null || named === null) return null;
  const longer = (file: number): number => files.stats[file]!.size - template.sizes[file]!;
  const places: readonly ((item: PlacedItem) => PlacedItem)[] = [
    (item) => item,
    (item) => ({ ...item, offset: item.offset + longer(item.file) }),
    (item) => ({ ...item, length: item.length + longer(item.file) }),
  ];
  const source = { store: found.store, path: found.path, paths: await found.paths(), metadata: template.metadata, files };
  for (const place of places) {
    const state = await stateOf({ ...source, place });
    if (state?.step === named) return state;
  }
  return null;
}

/** The last bytes of a file. */
async function endOf({ store }: Found, path: string, length: number): Promise<Buffer> {
  const file = await store.open(path);
  try {
    const bytes = Buffer.alloc(length);
    await readExactly(file, bytes, file.stat.size - length);
    return bytes;
  } finally {
    await file.close();
  }
}
