import { describe, expect, it } from 'vitest';
import { parseByteRate, parseByteSize } from '../../../src/base/byte-size.ts';
import { MergeError } from '../../../src/base/errors.ts';
import { parseInput, parseInputs } from '../../../src/cli/options/inputs.ts';
import { parseChoice, parseFraction, parsePath, parsePositiveInteger, parseWeights } from '../../../src/cli/options/values.ts';

/** The code of the MergeError that a call throws, and that its message names what the user typed. */
function refusal(call: () => unknown, typed: string): string {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(MergeError);
    expect((error as MergeError).message).toContain(typed);
    expect((error as MergeError).exitCode).toBe(2);
    return (error as MergeError).code;
  }
  return 'accepted';
}

describe('sizes', () => {
  it.each([
    ['1', 1],
    ['268435456', 268_435_456],
    ['256M', 256_000_000],
    ['256MB', 256_000_000],
    ['256mb', 256_000_000],
    ['256Mi', 268_435_456],
    ['256MiB', 268_435_456],
    ['1G', 1_000_000_000],
    ['1GiB', 1_073_741_824],
    ['1.5G', 1_500_000_000],
    ['0.5KiB', 512],
    ['2 TB', 2_000_000_000_000],
    ['64B', 64],
  ])('%s is %d bytes', (text, bytes) => expect(parseByteSize(text, '--memory')).toBe(bytes));

  it.each(['', '0', '-1', '256X', '1e6', 'M', '1.2.3', '0.1', '99999999T', 'NaN', '1G1', '١'])('%j is refused', (text) => {
    expect(refusal(() => parseByteSize(text, '--memory'), `--memory takes a size up to 1PiB, not '${text}'`)).toBe('E_OPTION');
  });
});

describe('rates', () => {
  it.each([
    ['40GB/s', 40e9],
    ['40 GB / s', 40e9],
    ['500MiB/s', 524_288_000],
    ['1.5G', 1.5e9],
    ['1000/S', 1000],
  ])('%s is %d bytes a second', (text, bytes) => expect(parseByteRate(text, '--max-read')).toBe(bytes));

  it.each(['', '0/s', '/s', '40GB/min', '40GB/s/s', '40Gbit/s', '-1GB/s', '1GBs'])('%j is refused', (text) => {
    const shown = text.replace(/\s*\/\s*s$/i, '') || text;
    expect(refusal(() => parseByteRate(text, '--max-read'), `--max-read takes bytes a second up to 1PiB, not '${shown}'`)).toBe('E_OPTION');
  });
});

describe('numbers', () => {
  it('are read whole', () => {
    expect(parsePositiveInteger('16', '--threads')).toBe(16);
    expect(['0', '1', '.2', '2e-1'].map((text) => parseFraction(text, '--sample'))).toEqual([0, 1, 0.2, 0.2]);
  });

  it.each(['0', '-1', '1.5', '1e3', '0x10', '', 'four', ' 4', '99999999999999999999'])('%j threads are refused', (text) => {
    expect(refusal(() => parsePositiveInteger(text, '--threads'), text)).toBe('E_OPTION');
  });

  it.each(['-0.1', '1.0001', 'nan', 'inf', '', '0,5', '50%', '0x1'])('a fraction of %j is refused', (text) => {
    expect(refusal(() => parseFraction(text, '--sample'), text)).toBe('E_OPTION');
  });
});

describe('words', () => {
  it('are found whatever their case, and given back as they are listed', () => {
    expect(parseChoice(['BF16', 'F32'])('bf16', '--dtype')).toBe('BF16');
  });

  it('are listed when one is wrong', () => {
    expect(refusal(() => parseChoice(['auto', 'map', 'read'])('mmap', '--io'), "--io takes one of auto, map, read, not 'mmap'")).toBe(
      'E_OPTION',
    );
  });

  it('a path is anything but an option or nothing', () => {
    expect(parsePath('./-x', '-o')).toBe('./-x');
    expect(refusal(() => parsePath('--json', '-o'), '--json')).toBe('E_USAGE');
    expect(refusal(() => parsePath('', '-o'), '-o')).toBe('E_OPTION');
  });
});

describe('weights', () => {
  it.each([
    ['0.5,0.5', [0.5, 0.5]],
    ['-0.5,1.5', [-0.5, 1.5]],
    ['1e-3, +2E+1 ,.5,5.', [0.001, 20, 0.5, 5]],
    ['0', [0]],
    ['0.1,0.2,0.30000000000000004', [0.1, 0.2, 0.30000000000000004]],
  ])('%s', (text, weights) => expect(parseWeights(text, '--weights')).toEqual(weights));

  it.each([
    ['1,nan', 'nan'],
    ['inf,1', 'inf'],
    ['1,,2', "''"],
    ['', "''"],
    ['0.5;0.5', '0.5;0.5'],
    ['1e999', '1e999'],
    ['0x1', '0x1'],
    ['1_000', '1_000'],
  ])('%j is refused', (text, named) => expect(refusal(() => parseWeights(text, '--weights'), named)).toBe('E_WEIGHTS'));
});

describe('PATH:WEIGHT', () => {
  const nothing = () => false;

  it.each([
    ['run/a', { path: 'run/a', weight: null }],
    ['run/a:0.5', { path: 'run/a', weight: 0.5 }],
    ['run/a:-0.5', { path: 'run/a', weight: -0.5 }],
    ['run/a:+1e-3', { path: 'run/a', weight: 0.001 }],
    ['a:b:2', { path: 'a:b', weight: 2 }],
    ['s3:bucket', { path: 's3:bucket', weight: null }],
    ['a:', { path: 'a:', weight: null }],
    [':3', { path: ':3', weight: null }],
  ])('%s', (text, input) => expect(parseInput(text, nothing)).toEqual(input));

  it('is a path where something of that whole name exists', () => {
    expect(parseInput('step:100', (path) => path === 'step:100')).toEqual({ path: 'step:100', weight: null });
    expect(parseInput('step:100:0.5', (path) => path === 'step:100')).toEqual({ path: 'step:100', weight: 0.5 });
  });

  it.each(['a:nan', 'a:NaN', 'a:inf', 'a:-Infinity', 'a:1e999', 'a:0.5x', 'a:1.2.3'])('%s is refused', (text) => {
    expect(refusal(() => parseInput(text, nothing), 'the weight of a')).toBe('E_WEIGHTS');
  });

  it('is for all inputs or for none, and in one place', () => {
    expect(parseInputs(['a:1', 'b:2'], false, nothing)).toEqual([
      { path: 'a', weight: 1 },
      { path: 'b', weight: 2 },
    ]);
    expect(parseInputs(['a', 'b'], true, nothing)).toEqual(['a', 'b']);
    expect(refusal(() => parseInputs(['a:1', 'b'], false, nothing), 'b carries none')).toBe('E_USAGE');
    expect(refusal(() => parseInputs(['a:1', 'b:1'], true, nothing), '--weights')).toBe('E_USAGE');
    expect(refusal(() => parseInputs(['a', ''], false, nothing), 'empty')).toBe('E_USAGE');
  });
});
