import { join } from 'node:path';
import { SYSTEM } from '../../base/disk/system.ts';

/**
 * What a save looks like, in short: the POSIX `cksum` of a line for each of its files (size, time of its last change in
 * seconds, path), sorted by bytes; of a file or a link that of its size and time. A save that was put back later with
 * the times that it had is the same, and another with older times is not. {@link LOOK_LINES} say it in a shell.
 * @throws what the file system throws
 */
export async function lookOf(path: string): Promise<string> {
  const lines = (await SYSTEM.fs.lstat(path)).isDirectory() ? await linesWithin(path, '.') : [await lineOf(path)];
  // A name may have lines of its own, and `sort` knows no names.
  const sorted = lines
    .join('\n')
    .split('\n')
    .map((line) => Buffer.from(`${line}\n`))
    .sort(Buffer.compare);
  return posixChecksum(Buffer.concat(lines.length === 0 ? [] : sorted));
}

/** `look_of PATH` in a shell. GNU and busybox have `stat -c`, BSD and macOS `stat -f`. */
export const LOOK_LINES =
  `if stat -c %s / >/dev/null 2>&1; then stat_one() { stat -c '%s %Y' -- "$1"; }; stat_all() { find . ! -type d -exec stat -c '%s %Y %n' -- {} +; }
else stat_one() { stat -f '%z %m' -- "$1"; }; stat_all() { find . ! -type d -exec stat -f '%z %m %N' -- {} +; }; fi
# What a save looks like: sizes, times and names of its files.
look_of() {
  if [ ! -L "$1" ] && [ -d "$1" ]; then (cd -- "$1/" && stat_all); else stat_one "$1"; fi | LC_ALL=C sort | cksum
}`.split('\n');

async function linesWithin(folder: string, shown: string): Promise<string[]> {
  const entries = await SYSTEM.fs.readdir(folder, { withFileTypes: true });
  const lines = await Promise.all(
    entries.map(async (entry) => {
      const [path, name] = [join(folder, entry.name), `${shown}/${entry.name}`];
      return entry.isDirectory() ? linesWithin(path, name) : [`${await lineOf(path)} ${name}`];
    }),
  );
  return lines.flat();
}

async function lineOf(path: string): Promise<string> {
  const { size, mtimeNs } = await SYSTEM.fs.lstat(path, { bigint: true });
  const [seconds, rest] = [mtimeNs / 1_000_000_000n, mtimeNs % 1_000_000_000n];
  return `${size} ${rest < 0n ? seconds - 1n : seconds}`;
}

const POLYNOMIAL = 0x04c11db7;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24;
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ POLYNOMIAL : crc << 1;
  return crc >>> 0;
});

/** As `cksum` prints it: the checksum of bytes and of their number, and that number. */
function posixChecksum(bytes: Uint8Array): string {
  let crc = 0;
  const add = (byte: number) => {
    crc = ((crc << 8) ^ TABLE[((crc >>> 24) ^ byte) & 0xff]!) >>> 0;
  };
  for (const byte of bytes) add(byte);
  for (let length = bytes.length; length > 0; length = Math.floor(length / 256)) add(length % 256);
  return `${~crc >>> 0} ${bytes.length}`;
}
