import { MergeError } from '../../base/errors.ts';

/** Bytes of a file that tell what it holds. */
export const START_BYTES = 512;

/** What a file may hold instead of what its name says. */
interface Content {
  /** With its verb. */
  readonly what: string;
  /** What to do about it. */
  readonly remedy: string;
}

const AGAIN = 'download it again';
const TORCH = 'load it with torch.load, and save it again with torch.save or safetensors.torch.save_file';

/** How texts begin that stand in the place of a file. */
const TEXTS: readonly (readonly [begin: RegExp, content: Content])[] = [
  [
    /^version https:\/\/(?:git-lfs|hawser)\.github\.com\/spec\/v\d/,
    { what: 'is a Git LFS pointer, not the file itself', remedy: '`git lfs pull` in its repository, or `hf download`, fetches the file' },
  ],
  [/^# xet version /, { what: 'is a Xet pointer, not the file itself', remedy: '`hf download` fetches the file' }],
  [
    /^\s*(?:<!--[\s\S]*?-->\s*)?<(?:!doctype html|html|head|body)\b/i,
    { what: 'is a web page (HTML), as of a log-in or an error', remedy: AGAIN },
  ],
  [/^\s*<(?:\?xml|Error>)/, { what: "is an answer in XML, as of a file server's error", remedy: AGAIN }],
];

/** How files of other kinds begin. */
const MAGICS: readonly (readonly [begin: string, content: Content])[] = [
  ['PK\x03\x04', { what: 'is a zip archive, as torch.save writes', remedy: 'call it .pt, as which it is read' }],
  [
    '\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19',
    {
      what: 'is in the form that torch.save had before version 1.6 (_use_new_zipfile_serialization=False)',
      remedy: TORCH,
    },
  ],
  // Of protocols 2 to 5, with what a dict or a state of torch begins with; read as a length it would be
  // petabytes.
  ['\x80\x02}', { what: 'is a pickle of Python', remedy: TORCH }],
  ['\x80\x03}', { what: 'is a pickle of Python', remedy: TORCH }],
  ['\x80\x04\x95', { what: 'is a pickle of Python', remedy: TORCH }],
  ['\x80\x05\x95', { what: 'is a pickle of Python', remedy: TORCH }],
  ['GGUF', { what: 'is a GGUF file', remedy: 'merge what it was made from' }],
  ['\x89HDF', { what: 'is an HDF5 file', remedy: 'load it with its library and write it with safetensors' }],
  ['\x93NUMPY', { what: "is an array of NumPy's", remedy: 'write it with safetensors.numpy.save_file' }],
  ['\x1f\x8b', { what: 'is compressed with gzip', remedy: 'unpack it' }],
  ['\x28\xb5\x2f\xfd', { what: 'is compressed with zstd', remedy: 'unpack it' }],
];

/**
 * What a file holds that is not what it should be, by its first bytes; null where they tell nothing.
 * @param start up to {@link START_BYTES} of it
 */
export function otherText(start: Uint8Array): Content | null {
  const text = Buffer.from(start).subarray(0, START_BYTES).toString('latin1');
  const found = TEXTS.find(([begin]) => begin.test(text))?.[1] ?? null;
  const size = /\nsize (\d+)\n/.exec(text)?.[1];
  return found === null || size === undefined ? found : { ...found, what: `${found.what} (of ${size} bytes)` };
}

/** As {@link otherText}, for a file of tensors that cannot be read as one. */
export function otherContent(start: Uint8Array): Content | null {
  const bytes = Buffer.from(start).subarray(0, START_BYTES);
  const text = bytes.toString('latin1');
  const known = otherText(bytes) ?? MAGICS.find(([begin]) => text.startsWith(begin))?.[1];
  if (known !== undefined) return known;
  if (bytes.length >= 16 && bytes.every((byte) => byte === 0)) {
    return {
      what: 'holds zeros where its header should be, as in a download or a save that was not finished',
      remedy: 'wait for it, or get it again',
    };
  }
  // Eight bytes of text are no length that a file could have.
  return /^[\t\n\r\x20-\x7e]{8,}$/.test(text)
    ? { what: `is a text (${JSON.stringify(text.trim().split('\n')[0]!.slice(0, 60))})`, remedy: AGAIN }
    : null;
}

/** @param path of the file @param cause what reading it as what its name says ended with */
export function otherContentError(path: string, { what, remedy }: Content, cause?: unknown): MergeError {
  return new MergeError('E_OTHER_CONTENT', `${path}: ${what}: ${remedy}`, { details: { file: path }, cause });
}
