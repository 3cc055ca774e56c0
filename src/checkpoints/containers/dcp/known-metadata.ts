import { OPERANDS } from '../pickle/operands.ts';
import { type DcpMetadata, readMetadata } from './read-metadata.ts';

/** The key behind which `.metadata` says where and by which save it was written: as torch pickles it. */
const SAVE = Buffer.from('\x8c\x0cstorage_meta', 'latin1');
const SHORT_TEXT = 0x8c;
/**
 * What no class, module or attribute that is looked for is called: identifiers of saves, paths, and the names
 * of folders of steps.
 */
const FREE = /^(?=[\x20-\x7e]*$)(?:.*[/=-].*|\d+|(?:global_)?(?:step|iter|epoch|ep)_?\d+)$/;

/** Bytes of a text in the pickle. */
type Range = readonly [start: number, end: number];

interface Known {
  readonly bytes: Buffer;
  /** Where the key of the save begins; the end where there is none. */
  readonly from: number;
  /** Texts behind it, in their order. */
  readonly texts: readonly Range[];
  readonly metadata: DcpMetadata;
}

/**
 * Reads `.metadata` of checkpoints of one run. Most steps of it are the same byte for byte but for the path
 * and the identifier of the save, which stand behind all that is read of them: such a one says what the one
 * before it said, and is compared instead of read.
 */
export class KnownMetadata {
  #known: Known | null = null;

  /** As {@link readMetadata}; what it gives may be that of another checkpoint. @throws what that throws */
  read(bytes: Buffer, path: string): DcpMetadata {
    if (this.#known !== null && isLike(bytes, this.#known)) return this.#known.metadata;
    const metadata = readMetadata(bytes, path);
    const save = bytes.lastIndexOf(SAVE);
    // Versions of torch that name no save write the same bytes at each step.
    const from = save < 0 ? bytes.length : save;
    const texts = save < 0 ? [] : textsFrom(bytes, from);
    if (texts !== null) this.#known = { bytes, from, texts, metadata };
    return metadata;
  }
}

/**
 * Whether a pickle differs from a known one in nothing but texts that no part of what was read of it is, and
 * that could not be a name to be looked for.
 */
function isLike(bytes: Buffer, { bytes: known, from, texts, metadata }: Known): boolean {
  if (bytes.length !== known.length) return false;
  const same = (start: number, end: number): boolean => bytes.compare(known, start, end, start, end) === 0;
  if (!same(0, from)) return false;
  let at = from;
  let said: ReadonlySet<unknown> | undefined;
  for (const [start, end] of texts) {
    if (!same(at, start)) return false;
    if (!same(start, end)) {
      const [was, is] = [known.toString('latin1', start, end), bytes.toString('latin1', start, end)];
      said ??= textsOf(metadata);
      if (!FREE.test(was) || !FREE.test(is) || said.has(was)) return false;
    }
    at = end;
  }
  return same(at, bytes.length);
}

/** All texts that are kept of a pickle. */
function textsOf({ names, blobs, files, version, torchDtypes, paths }: DcpMetadata): Set<unknown> {
  return new Set<unknown>([...names, ...blobs.names, ...files, version, ...torchDtypes, ...[...(paths?.values() ?? [])].flat()]);
}

/** Short texts from one on that begins there; null where none does. @param bytes a pickle that was read */
function textsFrom(bytes: Buffer, from: number): Range[] | null {
  const texts: Range[] = [];
  let begins = false;
  for (let at = 0; at < bytes.length; ) {
    const start = at;
    const opcode = bytes[at++]!;
    const operand = OPERANDS[opcode]!;
    if (operand === -1) at += 1 + bytes[at]!;
    else if (operand === -4) at += 4 + bytes.readUInt32LE(at);
    else if (operand === -8) at += 8 + Number(bytes.readBigUInt64LE(at));
    else if (operand === -2) return null;
    else at += operand;
    begins ||= start === from;
    if (begins && opcode === SHORT_TEXT) texts.push([start + 2, at]);
  }
  return begins ? texts : null;
}
