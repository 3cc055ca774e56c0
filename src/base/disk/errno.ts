import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import type { ErrorCode } from '../errors.ts';

/** What an errno stands for, by the side of a merge that it was met on, and what can be done about it. */
export interface ErrnoMeaning {
  readonly input: ErrorCode;
  readonly output: ErrorCode;
  readonly help?: string;
}

const SPACE: ErrnoMeaning = { input: 'E_NO_SPACE', output: 'E_NO_SPACE' };
const DENIED: ErrnoMeaning = { input: 'E_NOT_READABLE', output: 'E_READ_ONLY' };
const WRONG_KIND: ErrnoMeaning = { input: 'E_NOT_READABLE', output: 'E_OUTPUT_KIND' };
const FILES: ErrnoMeaning = { input: 'E_TOO_MANY_FILES', output: 'E_TOO_MANY_FILES' };
const AGAIN: ErrnoMeaning = { input: 'E_TEMPORARY', output: 'E_TEMPORARY' };
const FAULT: ErrnoMeaning = { input: 'E_IO', output: 'E_IO' };

const QUOTA: ErrnoMeaning = { ...SPACE, help: 'The disk quota of this user or project is used up: free some of it, or write elsewhere.' };
const STALE: ErrnoMeaning = {
  ...AGAIN,
  help: 'The network file system lost track of the file, which passes: run the same command again.',
};
const NETWORK: ErrnoMeaning = {
  ...AGAIN,
  help: 'The server of the file system cannot be reached just now: run the same command again when it can.',
};
const DAMAGE: ErrnoMeaning = {
  ...FAULT,
  help: 'The disk, the file system or its server reports damage: look at `dmesg` and the log of the server before trying again.',
};
const GONE: ErrnoMeaning = { ...FAULT, help: 'The device or the mount is gone: mount it again, then run the same command.' };
const KEY: ErrnoMeaning = {
  ...DENIED,
  help: 'The key or ticket that this file system asks for is missing, expired or revoked: unlock it or log in again (kinit, fscrypt).',
};

/** An errno that is not here is E_IO without advice. */
const MEANINGS: Readonly<Record<string, ErrnoMeaning>> = {
  ENOSPC: SPACE,
  EDQUOT: QUOTA,
  EUSERS: QUOTA,
  EFBIG: { ...SPACE, help: 'The file is larger than `ulimit -f` or the file system allows.' },
  EACCES: DENIED,
  EPERM: DENIED,
  EROFS: DENIED,
  ENOKEY: KEY,
  EKEYEXPIRED: KEY,
  EKEYREVOKED: KEY,
  EKEYREJECTED: KEY,
  ENOENT: { input: 'E_NOT_FOUND', output: 'E_IO', help: 'Check the path, and that no other process removed it meanwhile.' },
  ENOTDIR: { input: 'E_NOT_FOUND', output: 'E_OUTPUT_KIND' },
  EISDIR: WRONG_KIND,
  ELOOP: { ...WRONG_KIND, help: 'The path runs through symbolic links in a circle, or a link lies where this program keeps a file.' },
  ENXIO: WRONG_KIND,
  ENOTBLK: WRONG_KIND,
  EMLINK: { ...WRONG_KIND, help: 'It has more names (hard links) than it may: see who made them, and remove them.' },
  ENAMETOOLONG: {
    input: 'E_NOT_FOUND',
    output: 'E_OUTPUT_KIND',
    help: 'The name is longer than the file system allows: choose a shorter one.',
  },
  ERR_NUL_IN_PATH: {
    input: 'E_NOT_FOUND',
    output: 'E_OUTPUT_KIND',
    help: 'No file system has names with a NUL byte: write the name anew.',
  },
  ERR_FS_FILE_TOO_LARGE: { input: 'E_NOT_READABLE', output: 'E_NOT_READABLE' },
  EMFILE: FILES,
  ENFILE: FILES,
  EXDEV: { ...FAULT, help: 'A layered file system (a container image) cannot rename a folder of its lower layer: choose another output.' },
  ENOMEM: { input: 'E_NO_MEMORY', output: 'E_NO_MEMORY' },
  ESTALE: STALE,
  EBADHANDLE: STALE,
  EJUKEBOX: STALE,
  ETIMEDOUT: AGAIN,
  ETIME: AGAIN,
  EAGAIN: AGAIN,
  EBUSY: AGAIN,
  ETXTBSY: AGAIN,
  EINTR: AGAIN,
  ERESTART: AGAIN,
  ERESTARTSYS: AGAIN,
  ENETDOWN: NETWORK,
  ENETUNREACH: NETWORK,
  ENETRESET: NETWORK,
  EHOSTDOWN: NETWORK,
  EHOSTUNREACH: NETWORK,
  ECONNRESET: NETWORK,
  ECONNREFUSED: NETWORK,
  ECONNABORTED: NETWORK,
  ENONET: NETWORK,
  ENOLCK: { ...AGAIN, help: 'The file system can give out no lock: on NFS, see that its lock service runs.' },
  EIO: DAMAGE,
  EREMOTEIO: DAMAGE,
  EUCLEAN: DAMAGE,
  EBADMSG: DAMAGE,
  EILSEQ: DAMAGE,
  ENODATA: DAMAGE,
  EHWPOISON: DAMAGE,
  ESERVERFAULT: DAMAGE,
  ENOLINK: GONE,
  ECOMM: GONE,
  ENODEV: GONE,
  ENOMEDIUM: GONE,
  EMEDIUMTYPE: GONE,
  ENOTCONN: GONE,
  ESHUTDOWN: GONE,
};

/** Errnos that Node has no name for, by their numbers on Linux. From 512 on they are the kernel's own. */
// biome-ignore format: a table, an errno a line.
const ON_LINUX: readonly (readonly [number: number, name: string, text: string])[] = [
  [8, 'ENOEXEC', 'exec format error'],
  [10, 'ECHILD', 'no child processes'],
  [15, 'ENOTBLK', 'block device required'],
  [33, 'EDOM', 'argument out of the domain of the function'],
  [35, 'EDEADLK', 'resource deadlock avoided'],
  [37, 'ENOLCK', 'no locks available'],
  [42, 'ENOMSG', 'no message of the desired type'],
  [43, 'EIDRM', 'identifier removed'],
  [44, 'ECHRNG', 'channel number out of range'],
  [45, 'EL2NSYNC', 'level 2 not synchronized'],
  [46, 'EL3HLT', 'level 3 halted'],
  [47, 'EL3RST', 'level 3 reset'],
  [48, 'ELNRNG', 'link number out of range'],
  [50, 'ENOCSI', 'no CSI structure available'],
  [51, 'EL2HLT', 'level 2 halted'],
  [52, 'EBADE', 'invalid exchange'],
  [53, 'EBADR', 'invalid request descriptor'],
  [54, 'EXFULL', 'exchange full'],
  [55, 'ENOANO', 'no anode'],
  [56, 'EBADRQC', 'invalid request code'],
  [57, 'EBADSLT', 'invalid slot'],
  [59, 'EBFONT', 'bad font file format'],
  [60, 'ENOSTR', 'device not a stream'],
  [62, 'ETIME', 'timer expired'],
  [63, 'ENOSR', 'out of streams resources'],
  [65, 'ENOPKG', 'package not installed'],
  [66, 'EREMOTE', 'object is remote'],
  [67, 'ENOLINK', 'link has been severed'],
  [68, 'EADV', 'advertise error'],
  [69, 'ESRMNT', 'srmount error'],
  [70, 'ECOMM', 'communication error on send'],
  [72, 'EMULTIHOP', 'multihop attempted'],
  [74, 'EBADMSG', 'bad message, or a checksum that does not match'],
  [76, 'ENOTUNIQ', 'name not unique on network'],
  [77, 'EBADFD', 'file descriptor in bad state'],
  [78, 'EREMCHG', 'remote address changed'],
  [85, 'ERESTART', 'interrupted system call should be restarted'],
  [86, 'ESTRPIPE', 'streams pipe error'],
  [87, 'EUSERS', 'too many users for the quota'],
  [102, 'ENETRESET', 'network dropped the connection'],
  [109, 'ETOOMANYREFS', 'too many references'],
  [115, 'EINPROGRESS', 'operation now in progress'],
  [116, 'ESTALE', 'stale file handle'],
  [117, 'EUCLEAN', 'the structure of the file system needs cleaning'],
  [118, 'ENOTNAM', 'not a named type file'],
  [119, 'ENAVAIL', 'no semaphores available'],
  [120, 'EISNAM', 'is a named type file'],
  [121, 'EREMOTEIO', 'remote I/O error'],
  [122, 'EDQUOT', 'disk quota exceeded'],
  [123, 'ENOMEDIUM', 'no medium found'],
  [124, 'EMEDIUMTYPE', 'wrong medium type'],
  [126, 'ENOKEY', 'required key not available'],
  [127, 'EKEYEXPIRED', 'key has expired'],
  [128, 'EKEYREVOKED', 'key has been revoked'],
  [129, 'EKEYREJECTED', 'key was rejected by the service'],
  [130, 'EOWNERDEAD', 'owner died'],
  [131, 'ENOTRECOVERABLE', 'state not recoverable'],
  [132, 'ERFKILL', 'not possible due to RF-kill'],
  [133, 'EHWPOISON', 'memory page has a hardware error'],
  [512, 'ERESTARTSYS', 'interrupted system call should be restarted'],
  [521, 'EBADHANDLE', 'illegal NFS file handle'],
  [524, 'ENOTSUPP', 'operation is not supported'],
  [526, 'ESERVERFAULT', 'an error on the server that has no name'],
  [528, 'EJUKEBOX', 'the server asked to wait'],
];

const TEXTS = new Map([
  ...ON_LINUX.map(([, name, text]) => [name, text] as const),
  ...getSystemErrorMap().values(),
  ['ERR_NUL_IN_PATH', 'the name has a NUL byte in it'] as const,
  ['ERR_FS_FILE_TOO_LARGE', 'the file is too large to be read as a whole'] as const,
]);

/** On other systems than Linux the numbers are those that Node knows. */
const NAMES = new Map<number, string>([
  ...(process.platform === 'linux' ? ON_LINUX.map(([number, name]) => [number, name] as const) : []),
  ...Object.entries(constants.errno)
    .filter(([name]) => name !== 'EWOULDBLOCK' && name !== 'EOPNOTSUPP')
    .map(([name, number]) => [number, name] as const),
  ...[...getSystemErrorMap()].map(([number, [name]]) => [-number, name] as const),
]);

const NAME = /^(?:E[A-Z][A-Z0-9]*|ERR_FS_\w+)$/;
const NUMBER = /^E(\d{1,6})$/;

/**
 * The name of the errno behind an error of Node or of the native addon; undefined where the operating system
 * said nothing. A number that has no name anywhere is `E` and the number.
 */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { errno, code } = error as { errno?: unknown; code?: unknown };
  // The addon puts the name into `errno` and its own reason into `code`; Node puts a number into `errno` and
  // the name into `code`, which is a sentence for a number that libuv has no name for.
  if (typeof errno === 'string') return nameOf(Number(NUMBER.exec(errno)?.[1] ?? Number.NaN)) ?? errno;
  if (typeof errno === 'number') return typeof code === 'string' && NAME.test(code) ? code : nameOf(Math.abs(errno));
  if (code === 'ERR_FS_FILE_TOO_LARGE') return code;
  return code === 'ERR_INVALID_ARG_VALUE' && error.message.includes('null bytes') ? 'ERR_NUL_IN_PATH' : undefined;
}

function nameOf(number: number): string | undefined {
  return Number.isNaN(number) ? undefined : (NAMES.get(number) ?? `E${number}`);
}

/** What the name of an errno means to users. */
export function errnoMeaning(errno: string): ErrnoMeaning {
  return MEANINGS[errno] ?? FAULT;
}

/** The words of the operating system for it, where it has any. */
export function errnoText(errno: string): string | undefined {
  return TEXTS.get(errno);
}
