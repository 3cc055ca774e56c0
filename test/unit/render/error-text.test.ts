import pc from 'picocolors';
import { describe, expect, it } from 'vitest';
import { type Conflict, MergeError } from '../../../src/base/errors.ts';
import { asFailure, errorDocument, errorText, warningText } from '../../../src/render/error-text.ts';

const plain = pc.createColors(false);
const text = (error: unknown, debug = false) => errorText(asFailure(error), plain, debug);

describe('the text of an error', () => {
  it('says what, where and what to do', () => {
    const error = new MergeError('E_OVERLAP', 'tensors a and b share bytes 16 to 32', {
      details: { file: 'run/model.safetensors', tensor: 'b' },
      help: 'Save the file again.',
    });
    expect(text(error)).toBe(`error[E_OVERLAP]: tensors a and b share bytes 16 to 32
  file: run/model.safetensors
  help: Save the file again.
`);
  });

  it('does not repeat a file that the message names', () => {
    const error = new MergeError('E_NOT_FOUND', 'there is nothing at run/x', { details: { file: 'run/x' } });
    expect(text(error)).toBe('error[E_NOT_FOUND]: there is nothing at run/x\n  help: Check the path.\n');
  });

  it('indents further lines of message and help', () => {
    const error = new MergeError('E_NATIVE_LOAD', 'no binary could be loaded\ntried build/a\ntried build/b', {
      help: '1. Build it.\n2. Or not.',
    });
    expect(text(error)).toBe(`error[E_NATIVE_LOAD]: no binary could be loaded
  tried build/a
  tried build/b
  help: 1. Build it.
        2. Or not.
`);
  });

  it('shows ten conflicts and counts the rest', () => {
    const conflicts = Array.from(
      { length: 1234 },
      (_, i): Conflict => ({ code: 'E_CONFLICTS', message: `shapes of ${'t'.repeat(i + 1)} differ`, file: 'b' }),
    );
    const lines = text(new MergeError('E_CONFLICTS', 'the inputs do not fit each other', { details: { conflicts }, help: 'Look.' })).split(
      '\n',
    );
    expect(lines[1]).toBe('  - shapes of t differ (b)');
    expect(lines[10]).toBe('  - shapes of tttttttttt differ (b)');
    expect(lines.slice(11)).toEqual(['  and 1,224 more (all of them with --json)', '  help: Look.', '']);
  });

  it('says once what is the same of many tensors, with a count and examples', () => {
    const cast = Array.from({ length: 90 }, (_, i): Conflict => {
      const [tensor, file] = [`model.layers.${i % 30}.weight`, `run/checkpoint-${1000 + Math.floor(i / 30)}/model.safetensors`];
      return { code: 'E_MIXED_DTYPES', message: `tensor ${tensor} is F32 in the layout and BF16 in ${file}`, tensor, file };
    });
    const others = ['a', 'b'].map((tensor): Conflict => ({ code: 'E_SHAPE', message: `tensor ${tensor} is [1] and [2]`, tensor }));
    const error = new MergeError('E_CONFLICTS', '92 things', { details: { conflicts: [...cast, ...others] }, help: 'Look.' });
    expect(text(error).split('\n').slice(1, -1)).toEqual([
      '  - tensor model.layers.0.weight is F32 in the layout and BF16 in run/checkpoint-1000/model.safetensors; and 89 more alike, as of model.layers.1.weight and model.layers.2.weight',
      '  - tensor a is [1] and [2]',
      '  - tensor b is [1] and [2]',
      '  (all 92 of them with --json)',
      '  help: Look.',
    ]);
  });

  it('says a single conflict once', () => {
    const conflicts: Conflict[] = [{ code: 'E_OUTPUT_EXISTS', message: 'the output out exists', file: 'out' }];
    const error = new MergeError('E_OUTPUT_EXISTS', 'the output out exists', { details: { conflicts, file: 'out' }, help: 'Use `force`.' });
    expect(text(error)).toBe('error[E_OUTPUT_EXISTS]: the output out exists\n  help: Use `force`.\n');
  });

  it('lets no escape sequence of a file through', () => {
    const error = new MergeError('E_HOLE', 'hole before \u001b]0;owned\u0007', { details: { tensor: '\u001b[31mred' }, help: 'x' });
    for (const character of ['\u001b', '\u0007']) expect(text(error)).not.toContain(character);
    expect(text(error)).toContain('\\x1b[31mred');
  });

  it('has a stack only when debugging, with its causes', () => {
    const cause = new Error('the disk said no');
    const error = new MergeError('E_IO', 'writing failed', { cause });
    expect(text(error)).not.toContain('    at ');
    expect(text(error, true)).toContain('    at ');
    expect(text(error, true)).toContain('caused by: Error: the disk said no');
  });

  it('turns anything unknown into E_INTERNAL, without a stack', () => {
    expect(text(new TypeError('x is not a function'))).toBe(
      'error[E_INTERNAL]: x is not a function\n  help: Please report it with --debug output.\n',
    );
    expect(asFailure('a string').message).toBe('a string');
    expect(asFailure(undefined).exitCode).toBe(1);
  });
});

it('the document of an error has the promised fields, and no stack', () => {
  const error = new MergeError('E_HOLE', 'a hole', { details: { file: 'f', tensor: 't' }, help: 'h' });
  expect(errorDocument(asFailure(error))).toEqual({
    schema: 'ckpt-merge/error',
    version: 1,
    code: 'E_HOLE',
    message: 'a hole',
    details: { file: 'f', tensor: 't' },
    help: 'h',
  });
});

it('a warning names its code', () => {
  expect(warningText({ code: 'W_REORDERED', message: 'sorted by step' }, plain)).toBe('warning[W_REORDERED]: sorted by step\n');
});
