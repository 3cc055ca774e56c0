import { MergeError } from '../errors.ts';
import type { OpenFile } from './types.ts';

const CHUNK_BYTES = 2 ** 20;
const NEWLINE = 10;

/**
 * The lines of a file of any length as UTF-8, without their ends; a last line may lack its own.
 * @param longest bytes that a line may have
 * @throws MergeError E_NOT_READABLE for a longer line, E_IO
 */
export async function* fileLines(file: OpenFile, longest: number): AsyncGenerator<string, void> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  let parts: Buffer[] = [];
  let kept = 0;
  const keep = (part: Buffer) => {
    kept += part.length;
    if (kept > longest) {
      throw new MergeError('E_NOT_READABLE', `${file.path}: has a line of more than ${longest} bytes`, { details: { file: file.path } });
    }
    parts.push(part);
  };
  const take = () => {
    const line = Buffer.concat(parts).toString();
    parts = [];
    kept = 0;
    return line.endsWith('\r') ? line.slice(0, -1) : line;
  };
  for (let position = 0; ; ) {
    const read = await file.read(chunk, position);
    if (read === 0) break;
    position += read;
    // The chunk is written over by the next read.
    const bytes = Buffer.from(chunk.subarray(0, read));
    let start = 0;
    for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
      keep(bytes.subarray(start, end));
      yield take();
      start = end + 1;
    }
    if (start < read) keep(bytes.subarray(start));
  }
  if (kept > 0) yield take();
}
