import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Log, reportedCost, Tail } from '../../../src/search/evaluate/output.ts';
import { seeded, temporaryFolder } from '../../support/safetensors.ts';

describe('the tail of an output', () => {
  it('is its last bytes, however it comes', () => {
    const random = seeded(1);
    const tail = new Tail(100);
    let all = Buffer.alloc(0);
    for (let i = 0; i < 500; i++) {
      const chunk = Buffer.from(Array.from({ length: random(i % 50 === 0 ? 400 : 30) }, () => 32 + random(90)));
      all = Buffer.concat([all, chunk]);
      tail.add(chunk);
      expect(tail.bytes.equals(all.subarray(-100))).toBe(true);
      expect(tail.dropped).toBe(Math.max(0, all.length - 100));
    }
  });

  it('begins with a whole line as text, and is all of a short output', () => {
    const tail = new Tail(10);
    tail.add(Buffer.from('12345\n'));
    expect(tail.text()).toBe('12345\n');
    tail.add(Buffer.from('678\n9\n'));
    expect(tail.bytes.toString()).toBe('345\n678\n9\n');
    expect(tail.text()).toBe('678\n9\n');
    tail.add(Buffer.from('1234567890'));
    expect(tail.text()).toBe('');
  });
});

describe('the log of an evaluation', () => {
  it('has all of what is not too long', () => {
    const path = join(temporaryFolder(), 'log');
    const log = new Log(path);
    log.write('$ eval\n');
    log.write(Buffer.from([0xff, 0, 10]));
    expect(readFileSync(path).length).toBe(10);
    log.close();
    expect(readFileSync(path)).toEqual(Buffer.concat([Buffer.from('$ eval\n'), Buffer.from([0xff, 0, 10])]));
  });

  it('keeps beginning and end of what is too long, and says how much is missing', () => {
    const path = join(temporaryFolder(), 'log');
    const log = new Log(path);
    const line = (i: number) => `${String(i).padStart(99)}\n`;
    const total = 400_000;
    for (let i = 0; i < total; i += 1000) log.write(Array.from({ length: 1000 }, (_, j) => line(i + j)).join(''));
    log.close();
    const text = readFileSync(path, 'utf8');
    const [, missing] = /\[ckpt-merge: (\d+) bytes of output are left out here\]\n/.exec(text)!;
    const [head, tail] = text.split(/\n\[ckpt-merge: \d+ bytes of output are left out here\]\n/);
    expect(text.length).toBeLessThan(34 * 2 ** 20);
    expect(head!.length + Number(missing) + tail!.length).toBe(100 * total);
    expect(head!.startsWith(line(0) + line(1))).toBe(true);
    expect(tail!.endsWith(line(total - 2) + line(total - 1))).toBe(true);
  });

  it('shows its last lines as people saw them', () => {
    const log = new Log(join(temporaryFolder(), 'log'));
    log.write('first\n\u001b[31mred\u001b[0m\u0007\n 10%\r 50%\r100%\r\n\n');
    log.write(`${'x'.repeat(1000)}\nlast, without an end`);
    expect(log.lastLines()).toEqual(['first', 'red', '100%', 'x'.repeat(400), 'last, without an end']);
    for (let i = 0; i < 50; i++) log.write(`\nline ${i}`);
    expect(log.lastLines()).toEqual(Array.from({ length: 20 }, (_, i) => `line ${30 + i}`));
    log.close();
  });
});

describe('the cost that is reported', () => {
  it.each([
    [['MERGE_COST=1.25\n'], 1.25],
    [['x\nMERGE_COST=1\nMERGE_COST= 2e-1\r\ny', 'MERGE_COST=free'], 0.2],
    [['MERGE_COST=-1\nMERGE_COST=NaN\n# MERGE_COST=3'], null],
    [['', 'MERGE_COST=0'], 0],
    [['MERGE_COST=\n5\n'], null],
  ])('of %j is %j', (outputs, cost) => {
    expect(reportedCost(...outputs)).toBe(cost);
  });
});
