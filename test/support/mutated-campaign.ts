import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { randomOf } from '../../src/base/numbers/random.ts';
import { CAMPAIGN_MS, seedOf, TIMES } from './campaign.ts';
import { temporaryFolder } from './checkpoints.ts';
import { type DocumentReader, refusedAtMost } from './document-reader.ts';
import { LONG_TEXTS } from './mutate.ts';

/** Documents a reader is thrown. */
const DOCUMENTS = 2_500 * TIMES;
/** Milliseconds after which a document hangs its reader. */
const HANGS_MS = 1000;
/** On a busy machine a reader gets no smaller share of a CPU than this. */
const WAITS = 20;
const MEMORY = '/dev/shm';

/**
 * Throws documents at readers: mutations of a sound one by a fixed seed, and long texts of one kind of
 * character. A reader may take them, or refuse them by a designed error; anything else that it throws, and a
 * second that it takes, is a fault.
 */
export function throwDocumentsAt(readers: readonly DocumentReader[], ownSeed: number): void {
  const seed = seedOf(ownSeed);
  const temporary = temporaryFolder(existsSync(MEMORY) ? MEMORY : undefined);
  const told: string[] = [];
  afterAll(() => {
    temporary.remove();
    process.stdout.write(`seed ${seed}, ${DOCUMENTS} documents a reader\n${told.join('\n')}\n`);
  });
  const folderOf = (name: string, of: string) => {
    const folder = join(temporary.path, `${of}-${name.replaceAll(/\W/g, '-')}`);
    mkdirSync(folder);
    return folder;
  };
  const table = readers.map((reader, i) => [reader.name, reader, i] as const);

  describe('mutated documents', () => {
    it.each(table)(
      '%s: refused by a designed error at most, and soon',
      async (name, { mutate, read, seldom = 1 }, stream) => {
        const folder = folderOf(name, 'mutated');
        const random = randomOf(seed, stream);
        const trial = new Trial((text, i) => read(text, folder, randomOf(seed, stream, i)));
        const count = DOCUMENTS / seldom;
        for (let i = 0; i < count && trial.faults.length < 10; i++) await trial.of(mutate(random), i);
        told.push(`${name}: ${trial.summary()}`);
        expect(trial.faults).toEqual([]);
        // A sample that no reader takes would try its refusal alone.
        expect(trial.codes.get('read') ?? 0).toBeGreaterThan(0.01 * count);
      },
      CAMPAIGN_MS,
    );

    it.each(table)(
      '%s: long texts take no second',
      async (name, { read }, stream) => {
        const folder = folderOf(name, 'long');
        const trial = new Trial((text, i) => read(text, folder, randomOf(seed, stream, i)));
        for (const [i, long] of LONG_TEXTS.entries()) await trial.of(long(), i);
        expect(trial.faults).toEqual([]);
      },
      CAMPAIGN_MS,
    );
  });
}

class Trial {
  readonly codes = new Map<string, number>();
  readonly faults: string[] = [];
  readonly #read: (text: string, index: number) => Promise<unknown>;
  readonly #began = performance.now();
  #slowest = 0;

  constructor(read: (text: string, index: number) => Promise<unknown>) {
    this.#read = read;
  }

  async of(text: string, index: number): Promise<void> {
    let code = 'read';
    const once = async () => {
      const [began, before] = [performance.now(), process.cpuUsage()];
      code = (await refusedAtMost(() => this.#read(text, index))) ?? 'read';
      const { user, system } = process.cpuUsage(before);
      // What the machine does besides is no reader's fault; what waits takes no time of the CPU.
      return Math.max((user + system) / 1000, (performance.now() - began) / WAITS);
    };
    try {
      let took = await once();
      // The machine may have been busy with something else.
      for (let again = 0; again < 3 && took > HANGS_MS; again++) took = Math.min(took, await once());
      this.#slowest = Math.max(this.#slowest, took);
      if (took > HANGS_MS) this.faults.push(`document ${index} takes ${Math.round(took)} ms: ${shown(text)}`);
    } catch (error) {
      this.faults.push(`document ${index}: ${(error as Error).stack?.split('\n').slice(0, 6).join('\n    ')}\n  of ${shown(text)}`);
    }
    this.codes.set(code, (this.codes.get(code) ?? 0) + 1);
  }

  summary(): string {
    const counts = [...this.codes].map(([code, count]) => `${code} ${count}`).join(', ');
    return `${counts}; ${Math.round(performance.now() - this.#began)} ms in all, slowest ${Math.round(this.#slowest)} ms`;
  }
}

function shown(text: string): string {
  return `${text.length} characters: ${JSON.stringify(text.length > 3000 ? `${text.slice(0, 1500)} … ${text.slice(-1500)}` : text)}`;
}
