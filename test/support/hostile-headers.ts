import type { ErrorCode } from '../../src/base/errors.ts';
import { entry, fileBytes } from './safetensors.ts';

/** A file that must be refused: with this code, at this byte of the file, naming this tensor (null: none). */
export interface HostileHeader {
  readonly what: string;
  readonly bytes: Uint8Array;
  readonly code: ErrorCode;
  readonly position: number;
  readonly tensor: string | null;
}

/** Marks the place of the fault inside a header; it is taken out before the header is used. */
const HERE = '«';

const A = entry('a', 'U8', [4], 0, 4);
const ok = (fields: string): string => `{"a":{${fields}}}`;
const withShape = (shape: string, span = 4): string => ok(`"dtype":"U8","shape":${shape},"data_offsets":[0,${span}]`);
const withOffsets = (offsets: string): string => ok(`"dtype":"U8","shape":[4],"data_offsets":${offsets}`);
const name = (written: string): string => `{${written}:{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`;
const meta = (value: string): string => `{"__metadata__":${value},${A}}`;

function row(what: string, code: ErrorCode, marked: string, tensor: string | null, data = 4): HostileHeader {
  const before = Buffer.byteLength(marked.slice(0, marked.indexOf(HERE)));
  return { what, code, tensor, bytes: fileBytes(marked.replace(HERE, ''), data), position: 8 + before };
}

function raw(what: string, code: ErrorCode, bytes: Uint8Array, position: number, tensor: string | null = null): HostileHeader {
  return { what, code, bytes, position, tensor };
}

function lengthOnly(length: bigint, rest = ''): Uint8Array {
  const bytes = Buffer.alloc(8 + rest.length, rest);
  bytes.writeBigUInt64LE(length);
  bytes.write(rest, 8);
  return bytes;
}

/** Bytes in place of a marker character, for text that is not valid UTF-8. */
function withBytes(header: string, bad: readonly number[]): Uint8Array {
  const [before, after] = header.split(HERE);
  return fileBytes(Buffer.concat([Buffer.from(before!), Buffer.from(bad), Buffer.from(after!)]), 4);
}
const BAD_NAME = name(`"a${HERE}"`);
const inName = 8 + BAD_NAME.indexOf(HERE);

const dataStart = (header: string): number => 8 + Buffer.byteLength(header);
const two = (b: string): string => `{${A},${b}}`;
const OVERLAP = two(entry('b', 'U8', [4], 2, 6));
const INSIDE = two(entry('b', 'U8', [0], 2, 2));
const HOLE = two(entry('b', 'U8', [4], 6, 10));
const BEYOND = two(entry('b', 'U8', [4], 6000, 6004));
const LATE = `{${entry('a', 'U8', [4], 1, 5)}}`;
const VALID = `{${A}}`;

export const HOSTILE_HEADERS: readonly HostileHeader[] = [
  raw('empty file', 'E_HEADER_TRUNCATED', new Uint8Array(0), 0),
  raw('seven bytes', 'E_HEADER_TRUNCATED', new Uint8Array(7), 0),
  raw('length of nothing', 'E_HEADER_START', lengthOnly(0n), 8),
  raw('header longer than the file', 'E_HEADER_TRUNCATED', lengthOnly(100n, '{}'), 10),
  raw('header over the limit', 'E_HEADER_TOO_LARGE', lengthOnly(100_000_001n, '{}'), 0),
  raw('length of 2^64 - 1', 'E_HEADER_TOO_LARGE', lengthOnly(2n ** 64n - 1n, '{}'), 0),
  raw('length of 2^63', 'E_HEADER_TOO_LARGE', lengthOnly(2n ** 63n, '{}'), 0),
  row('white space before the brace', 'E_HEADER_START', `${HERE} ${VALID}`, null),
  row('byte order mark', 'E_HEADER_START', `${HERE}\ufeff${VALID}`, null),
  row('a list', 'E_HEADER_START', `${HERE}[${VALID}]`, null),
  row('null', 'E_HEADER_START', `${HERE}null`, null),
  row('no closing brace', 'E_HEADER_JSON', `{${A}${HERE}`, null),
  row('second object', 'E_HEADER_JSON', `${VALID}${HERE}{}`, null),
  row('newline as padding', 'E_HEADER_JSON', `${VALID}  ${HERE}\n`, null),
  row('NUL as padding', 'E_HEADER_JSON', `${VALID}${HERE}\0`, null),
  row('comma at the end', 'E_HEADER_JSON', `{${A},${HERE}}`, null),
  row('no comma', 'E_HEADER_JSON', `{${A} ${HERE}${entry('b', 'U8', [0], 4, 4)}}`, null),
  row('name without quotes', 'E_HEADER_JSON', name(`${HERE}a`), null),
  row('name in single quotes', 'E_HEADER_JSON', name(`${HERE}'a'`), null),
  row('name without end', 'E_HEADER_JSON', `{${HERE}"a`, null),
  row('line break in a name', 'E_HEADER_JSON', name(`"a${HERE}\n"`), null),
  row('NUL in a name', 'E_HEADER_JSON', name(`"a${HERE}\0"`), null),
  row('unknown escape', 'E_HEADER_JSON', name(`"a${HERE}\\x41"`), null),
  row('escape cut short', 'E_HEADER_JSON', name(`"a${HERE}\\u00"`), null),
  row('comment', 'E_HEADER_JSON', `{${HERE}/* */${A}}`, null),
  row('no colon', 'E_HEADER_JSON', `{"a"${HERE}{}}`, null),
  row('lone high surrogate', 'E_SURROGATE', name(`"a${HERE}\\ud800"`), null),
  row('lone low surrogate', 'E_SURROGATE', name(`"${HERE}\\udc00a"`), null),
  row('two high surrogates', 'E_SURROGATE', name(`"${HERE}\\ud83d\\ud83d"`), null),
  row('high surrogate and a letter', 'E_SURROGATE', name(`"${HERE}\\ud83d\\u0041"`), null),
  row('lone surrogate in metadata', 'E_SURROGATE', meta(`{"k":"${HERE}\\udfff"}`), null),
  raw('invalid byte', 'E_HEADER_UTF8', withBytes(BAD_NAME, [0xff]), inName),
  raw('overlong slash', 'E_HEADER_UTF8', withBytes(BAD_NAME, [0xc0, 0xaf]), inName),
  raw('surrogate as UTF-8', 'E_HEADER_UTF8', withBytes(BAD_NAME, [0xed, 0xa0, 0x80]), inName),
  raw('beyond U+10FFFF', 'E_HEADER_UTF8', withBytes(BAD_NAME, [0xf4, 0x90, 0x80, 0x80]), inName),
  raw('sequence cut short', 'E_HEADER_UTF8', withBytes(BAD_NAME, [0xe2, 0x82]), inName),
  row('tensor named twice', 'E_DUPLICATE_KEY', `{${A},${HERE}${entry('a', 'U8', [0], 4, 4)}}`, 'a'),
  row(
    'tensor named twice, once escaped',
    'E_DUPLICATE_KEY',
    `{${A},${HERE}"\\u0061":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}}`,
    'a',
  ),
  row(
    '__proto__ named twice',
    'E_DUPLICATE_KEY',
    `{"__proto__":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},${HERE}${entry('__proto__', 'U8', [0], 4, 4)}}`,
    '__proto__',
  ),
  row('field twice', 'E_DUPLICATE_KEY', ok(`"dtype":"U8",${HERE}"dtype":"U8","shape":[4],"data_offsets":[0,4]`), 'a'),
  row('__metadata__ twice', 'E_DUPLICATE_KEY', `{"__metadata__":{},${HERE}"__metadata__":{},${A}}`, null),
  row('metadata key twice', 'E_DUPLICATE_KEY', meta(`{"k":"1",${HERE}"k":"1"}`), null),
  row('metadata is a list', 'E_METADATA', meta(`${HERE}[]`), null),
  row('metadata is null', 'E_METADATA', meta(`${HERE}null`), null),
  row('metadata number', 'E_METADATA', meta(`{"k":${HERE}1}`), null),
  row('metadata object', 'E_METADATA', meta(`{"k":${HERE}{"x":"y"}}`), null),
  row('entry is a string', 'E_HEADER_TYPE', `{"a":${HERE}"U8"}`, 'a'),
  row('entry is a list', 'E_HEADER_TYPE', `{"a":${HERE}[]}`, 'a'),
  row('deeply nested entry', 'E_HEADER_TYPE', `{"a":${HERE}${'['.repeat(100_000)}`, 'a'),
  row('dtype is a number', 'E_HEADER_TYPE', ok(`"dtype":${HERE}8,"shape":[4],"data_offsets":[0,4]`), 'a'),
  row('dtype is null', 'E_HEADER_TYPE', ok(`"dtype":${HERE}null,"shape":[4],"data_offsets":[0,4]`), 'a'),
  row('shape is a number', 'E_HEADER_TYPE', withShape(`${HERE}4`), 'a'),
  row('shape is an object', 'E_HEADER_TYPE', withShape(`${HERE}{}`), 'a'),
  row('size is a string', 'E_HEADER_TYPE', withShape(`[${HERE}"4"]`), 'a'),
  row('size is a list', 'E_HEADER_TYPE', withShape(`[${HERE}[4]]`), 'a'),
  row('size is null', 'E_HEADER_TYPE', withShape(`[${HERE}null]`), 'a'),
  row('offsets are a string', 'E_HEADER_TYPE', withOffsets(`${HERE}"0,4"`), 'a'),
  row('offset is a string', 'E_HEADER_TYPE', withOffsets(`[0,${HERE}"4"]`), 'a'),
  row('no offsets', 'E_HEADER_JSON', withOffsets(`[${HERE}]`), 'a'),
  row('one offset', 'E_HEADER_JSON', withOffsets(`[0${HERE}]`), 'a'),
  row('three offsets', 'E_HEADER_JSON', withOffsets(`[0,4${HERE},4]`), 'a'),
  row('shape with a comma at its end', 'E_HEADER_JSON', withShape(`[4,${HERE}]`), 'a'),
  row('shape without end', 'E_HEADER_JSON', `{"a":{"dtype":"U8","shape":[4${HERE}`, 'a'),
  row('unknown dtype', 'E_DTYPE', ok(`"dtype":${HERE}"BF17","shape":[4],"data_offsets":[0,4]`), 'a'),
  row('dtype in lower case', 'E_DTYPE', ok(`"dtype":${HERE}"u8","shape":[4],"data_offsets":[0,4]`), 'a'),
  row('dtype named as an object member', 'E_DTYPE', ok(`"dtype":${HERE}"constructor","shape":[4],"data_offsets":[0,4]`), 'a'),
  row('unknown field', 'E_HEADER_FIELD', ok(`"dtype":"U8","shape":[4],"data_offsets":[0,4],${HERE}"strides":[1]`), 'a'),
  row('field __proto__', 'E_HEADER_FIELD', ok(`${HERE}"__proto__":{},"dtype":"U8","shape":[4],"data_offsets":[0,4]`), 'a'),
  row('empty entry', 'E_HEADER_FIELD', `{${HERE}"a":{}}`, 'a'),
  row('no dtype', 'E_HEADER_FIELD', `{${HERE}"a":{"shape":[4],"data_offsets":[0,4]}}`, 'a'),
  row('no shape', 'E_HEADER_FIELD', `{${HERE}"a":{"dtype":"U8","data_offsets":[0,4]}}`, 'a'),
  row('no data_offsets', 'E_HEADER_FIELD', `{${HERE}"a":{"dtype":"U8","shape":[4]}}`, 'a'),
  row('negative size', 'E_HEADER_NUMBER', withShape(`[${HERE}-4]`), 'a'),
  row('size with a plus', 'E_HEADER_NUMBER', withShape(`[${HERE}+4]`), 'a'),
  row('size with a fraction', 'E_HEADER_NUMBER', withShape(`[${HERE}4.0]`), 'a'),
  row('size with an exponent', 'E_HEADER_NUMBER', withShape(`[${HERE}4e0]`), 'a'),
  row('size with a leading zero', 'E_HEADER_NUMBER', withShape(`[${HERE}04]`), 'a'),
  row('size beyond 2^53', 'E_HEADER_NUMBER', withShape(`[${HERE}9007199254740992]`), 'a'),
  row('size beyond 2^64', 'E_HEADER_NUMBER', withShape(`[${HERE}18446744073709551620]`), 'a'),
  row('size of a thousand digits', 'E_HEADER_NUMBER', withShape(`[${HERE}${'1'.repeat(1000)}]`), 'a'),
  row('NaN size', 'E_HEADER_NUMBER', withShape(`[${HERE}NaN]`), 'a'),
  row('Infinity offset', 'E_HEADER_NUMBER', withOffsets(`[0,${HERE}Infinity]`), 'a'),
  row('negative offset', 'E_HEADER_NUMBER', withOffsets(`[${HERE}-0,4]`), 'a'),
  row('float offset', 'E_HEADER_NUMBER', withOffsets(`[0,${HERE}4.0]`), 'a'),
  row('exponent offset', 'E_HEADER_NUMBER', withOffsets(`[0,${HERE}4E0]`), 'a'),
  row('offset with a leading zero', 'E_HEADER_NUMBER', withOffsets(`[${HERE}00,4]`), 'a'),
  row('offset beyond 2^53', 'E_HEADER_NUMBER', withOffsets(`[0,${HERE}9007199254740992]`), 'a'),
  row('hexadecimal offset', 'E_HEADER_JSON', withOffsets(`[0${HERE}x0,4]`), 'a'),
  row('elements beyond 2^53', 'E_SHAPE_OVERFLOW', withShape(`${HERE}[94906267,94906267]`), 'a'),
  row('elements that wrap to 0 in 64 bits', 'E_SHAPE_OVERFLOW', withShape(`${HERE}[4294967296,4294967296]`, 0), 'a'),
  row('overflow before a zero', 'E_SHAPE_OVERFLOW', withShape(`${HERE}[9007199254740991,9007199254740991,0]`, 0), 'a'),
  row('bits beyond 2^53', 'E_SHAPE_OVERFLOW', ok(`"dtype":"F64","shape":[9007199254740991],"data_offsets":${HERE}[0,8]`), 'a'),
  row('fewer bytes than the shape', 'E_SIZE_MISMATCH', ok(`"dtype":"F32","shape":[2],"data_offsets":${HERE}[0,4]`), 'a'),
  row('more bytes than the shape', 'E_SIZE_MISMATCH', withOffsets(`${HERE}[0,5]`), 'a', 5),
  row('bytes for an empty shape', 'E_SIZE_MISMATCH', ok(`"dtype":"F32","shape":[0],"data_offsets":${HERE}[0,4]`), 'a'),
  row('no bytes for a scalar', 'E_SIZE_MISMATCH', ok(`"dtype":"F32","shape":[],"data_offsets":${HERE}[0,0]`), 'a', 0),
  row('half a byte of F4', 'E_SIZE_MISMATCH', ok(`"dtype":"F4","shape":[7],"data_offsets":${HERE}[0,4]`), 'a'),
  row('parts of bytes of F6', 'E_SIZE_MISMATCH', ok(`"dtype":"F6_E2M3","shape":[5],"data_offsets":${HERE}[0,4]`), 'a'),
  row('offsets run backwards', 'E_OFFSETS', withOffsets(`${HERE}[4,0]`), 'a'),
  raw('begins beyond the file', 'E_OFFSETS', fileBytes(BEYOND, 8), dataStart(BEYOND) + 6000, 'b'),
  raw('shared bytes', 'E_OVERLAP', fileBytes(OVERLAP, 6), dataStart(OVERLAP) + 2, 'b'),
  raw('same bytes twice', 'E_OVERLAP', fileBytes(two(entry('b', 'U8', [4], 0, 4)), 4), dataStart(OVERLAP), 'b'),
  raw('empty tensor inside another', 'E_OVERLAP', fileBytes(INSIDE, 4), dataStart(INSIDE) + 2, 'b'),
  raw('unused bytes between', 'E_HOLE', fileBytes(HOLE, 10), dataStart(HOLE) + 6, 'b'),
  raw('unused bytes at the start', 'E_HOLE', fileBytes(LATE, 5), dataStart(LATE) + 1, 'a'),
  raw('data cut short', 'E_FILE_TRUNCATED', fileBytes(VALID, 3), dataStart(VALID) + 3, 'a'),
  raw('no data', 'E_FILE_TRUNCATED', fileBytes(VALID, 0), dataStart(VALID), 'a'),
  raw('a byte too many', 'E_TRAILING_BYTES', fileBytes(VALID, 5), dataStart(VALID) + 4),
  raw('data without tensors', 'E_TRAILING_BYTES', fileBytes('{}', 1), 10),
];
