import { describe, expect, it } from 'vitest';
import { MessageReader, messageWriter, type RankMessage } from '../../../src/merge/launch/messages.ts';

const LAUNCH = '0123456789ab';
const failed = (message: string): RankMessage => ({ type: 'failed', error: { code: 'E_IO', message, details: {}, help: '' } });

/** What is read of text, lines of it. */
function readAll(text: string, launch = LAUNCH) {
  const reader = new MessageReader(launch);
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => reader.read(line));
}

describe('messages of ranks', () => {
  it('come through lines that are short, mixed, and have names before them', () => {
    const long = failed(`ü "quoted" \n ${'x'.repeat(5000)}`);
    const [one, two] = [messageWriter(LAUNCH), messageWriter(LAUNCH)];
    const [a, b] = [one(long).split('\n'), two(long).split('\n')];
    expect(Math.max(...a.map((line) => Buffer.byteLength(line)))).toBeLessThan(4096);
    const mixed = a.flatMap((line, i) => [`12: ${line}`, 'slurmstepd: noise', `[1,3]<stdout>: ${b[i]}\r`]).join('\n');
    const read = readAll(mixed).filter((found) => typeof found === 'object');
    expect(read.map(({ message }) => message)).toEqual([long, long]);
    expect(new Set(read.map(({ speaker }) => speaker)).size).toBe(2);
  });

  it('are those of this start alone, and whole', () => {
    const written = messageWriter(LAUNCH)(failed('a'));
    expect(readAll(written, 'ba9876543210')).toEqual(['other']);
    expect(readAll(written.replace('"E_IO"', '"E_MADE_UP"'))).toEqual(['other']);
    expect(readAll(written.replace('{', ''))).toEqual(['other']);
    expect(readAll('@ckpt-merge-rank\n{"schema":"ckpt-merge/average"}\nhello')).toEqual(['other', 'other', 'other']);
  });

  it('come through lines that are cut anywhere, each piece with the name of its rank before it', () => {
    // As `srun --label` does where a read ends within a line.
    const message = failed('a "b"  c');
    const [line = ''] = messageWriter(LAUNCH)(message).split('\n');
    const other = messageWriter(LAUNCH)(failed('of another')).trimEnd();
    const first = line.indexOf('{');
    for (let at = first; at < line.length; at++) {
      const read = readAll(`1: ${line.slice(0, at)}\n0: ${other}\nslurmstepd: noise\n1: ${line.slice(at)}`);
      expect(read.filter((found) => typeof found === 'object').map((found) => found.message)).toEqual([failed('of another'), message]);
    }
    // A piece that never comes spoils no other message: nothing is taken for what it is not.
    const lost = readAll(`1: ${line.slice(0, first + 20)}\n1: ${other}`);
    expect(lost.filter((found) => typeof found === 'object').map((found) => found.message)).toEqual([failed('of another')]);
  });
});
