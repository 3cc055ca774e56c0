import { describe, expect, it } from 'vitest';
import { createProgress } from '../../../src/cli/terminal/progress.ts';
import { progressLine } from '../../../src/cli/terminal/progress-line.ts';
import type { ProgressEvent } from '../../../src/merge/engine/events.ts';
import type { Plan } from '../../../src/merge/plan/types.ts';
import { fakeTerminal } from '../../support/fake-terminal.ts';

const merging = (changes: Partial<ProgressEvent> = {}): ProgressEvent => ({
  type: 'progress',
  phase: 'merge',
  bytesRead: 412e9,
  bytesWritten: 103e9,
  bytesReadTotal: 640e9,
  bytesWrittenTotal: 160e9,
  bytesChecked: 0,
  bytesCheckedTotal: 0,
  readBytesPerSecond: 11.8e9,
  writeBytesPerSecond: 2.95e9,
  etaSeconds: 21,
  outputFile: 'model-00003-of-00004.safetensors',
  ...changes,
});

describe('the line', () => {
  it('has everything where there is room', () => {
    expect(progressLine(merging(), 200)).toBe(
      'merging   64%  515 GB / 800 GB  read 11.8 GB/s  write 2.95 GB/s  ETA 00:21  model-00003-of-00004.safetensors',
    );
  });

  it.each([
    [90, 'merging   64%  515 GB / 800 GB  read 11.8 GB/s  write 2.95 GB/s  ETA 00:21'],
    [70, 'merging   64%  515 GB / 800 GB  read 11.8 GB/s  ETA 00:21'],
    [50, 'merging   64%  515 GB / 800 GB  ETA 00:21'],
    [35, 'merging   64%  ETA 00:21'],
    [20, '64%'],
    [2, '64'],
  ])('is shortened to %d columns, the least needed first', (columns, line) => expect(progressLine(merging(), columns)).toBe(line));

  it('never says 100 % before the end, and copes with nothing to do', () => {
    expect(progressLine(merging({ bytesRead: 640e9 - 1, bytesWritten: 160e9 }), 20)).toBe('99%');
    expect(progressLine(merging({ bytesRead: 0, bytesWritten: 0, bytesReadTotal: 0, bytesWrittenTotal: 0 }), 20)).toBe('100%');
    expect(progressLine(merging({ etaSeconds: null, readBytesPerSecond: 0, writeBytesPerSecond: 0, outputFile: '' }), 200)).toBe(
      'merging   64%  515 GB / 800 GB  read - B/s  write - B/s  ETA --:--',
    );
  });

  it('names the other phases', () => {
    expect(progressLine(merging({ phase: 'sync' }), 80)).toBe('syncing  160 GB to the device');
    expect(progressLine(merging({ phase: 'publish' }), 80)).toBe('publishing');
    expect(progressLine({ type: 'progress', phase: 'crc', done: 1e9, total: 4e9 }, 80)).toBe('checksums   25%  1.00 GB / 4.00 GB');
    expect(progressLine({ type: 'progress', phase: 'recompute', done: 4096, total: 8192 }, 80)).toBe(
      'recomputing   50%  4,096 / 8,192 elements',
    );
  });
});

describe('on a terminal', () => {
  it('redraws one line, ten times a second at most, and takes it away at the end', () => {
    const terminal = fakeTerminal({ tty: true, columns: 30 });
    let now = 0;
    const progress = createProgress('auto', terminal, undefined, () => now);
    for (now = 0; now <= 250; now += 10) progress.event(merging({ bytesRead: now * 1e9 }));
    progress.end();
    progress.end();
    // The phase is new at 0, then 100 ms have passed at 100 and 200. 29 columns: the last one stays free.
    expect(terminal.written.err).toBe('\r12%\u001b[K\r25%\u001b[K\r37%\u001b[K\r\u001b[K');
    expect(terminal.written.out).toBe('');
  });

  it('puts a warning above the line, once', () => {
    const terminal = fakeTerminal({ tty: true, columns: 30 });
    const progress = createProgress('auto', terminal, undefined, () => 0);
    const warning = { code: 'W_REORDERED', message: 'sorted by step' } as const;
    progress.event(merging());
    progress.event({ type: 'warning', warning });
    progress.warn(warning);
    expect(terminal.written.err).toBe('\r64%\u001b[K\r\u001b[Kwarning[W_REORDERED]: sorted by step\n64%');
  });

  it('writes lines where the terminal is dumb', () => {
    const terminal = fakeTerminal({ tty: true, env: { TERM: 'dumb' } });
    let now = 0;
    const progress = createProgress('auto', terminal, undefined, () => now);
    now = 10_000;
    progress.event(merging());
    expect(terminal.written.err).toMatch(/^merging.*\n$/);
  });
});

describe('off a terminal', () => {
  it('writes a line every ten seconds, none for a short merge', () => {
    const terminal = fakeTerminal();
    let now = 0;
    const progress = createProgress('auto', terminal, undefined, () => now);
    for (now = 0; now < 25_000; now += 100) progress.event(merging({ outputFile: '' }));
    progress.end();
    const line = 'merging   64%  515 GB / 800 GB  read 11.8 GB/s  write 2.95 GB/s  ETA 00:21\n';
    expect(terminal.written.err).toBe(line + line);
  });

  it('of a merge that a watch begins after hours, the first line comes after ten seconds, too', () => {
    const terminal = fakeTerminal();
    let now = 0;
    const progress = createProgress('lines', terminal, undefined, () => now);
    for (const began of [60_000, 7_200_000]) {
      now = began;
      progress.event({ type: 'plan', plan: { outputs: [] } as unknown as Plan });
      now += 900;
      progress.event(merging({ bytesRead: 640e9 - 1, bytesWritten: 160e9, etaSeconds: 0 }));
    }
    expect(terminal.written.err).toBe('');
    now += 10_000;
    progress.event(merging());
    expect(terminal.written.err).toMatch(/^merging {3}64%.*\n$/);
  });

  it('writes nothing but warnings when asked to', () => {
    const terminal = fakeTerminal();
    let now = 0;
    const progress = createProgress('none', terminal, undefined, () => now);
    now = 60_000;
    progress.event(merging());
    progress.event({ type: 'warning', warning: { code: 'W_NONFINITE', message: 'NaN in t' } });
    expect(terminal.written.err).toBe('warning[W_NONFINITE]: NaN in t\n');
  });

  it('writes one JSON object a line when asked to, warnings too', () => {
    const terminal = fakeTerminal({ tty: true });
    let now = 0;
    const progress = createProgress(
      'json',
      terminal,
      (event) => ({ seen: event.type }),
      () => now,
    );
    progress.event(merging());
    now = 50;
    progress.event(merging());
    progress.event({ type: 'warning', warning: { code: 'W_NONFINITE', message: 'NaN in t' } });
    progress.warn({ code: 'W_NONFINITE', message: 'NaN in t' });
    progress.end();
    expect(terminal.written.err).toBe('{"seen":"progress"}\n{"seen":"warning"}\n');
  });
});
