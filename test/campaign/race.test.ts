import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { MergeError } from '../../src/base/errors.ts';
import { loadBinding } from '../../src/merge/native/load.ts';
import { beginPublication } from '../../src/merge/output/publication.ts';
import { canBeAnother, pictureOf, STRANGER } from '../support/attacker.ts';
import { CAMPAIGN_MS, seedOf, TIMES } from '../support/campaign.ts';
import { systemTool } from '../support/system-tool.ts';

const ATTACKER = fileURLToPath(new URL('../support/racing-attacker.js', import.meta.url));
const ROUNDS = 100 * TIMES;

describe.skipIf(!canBeAnother())('somebody who renames whatever a merge makes, in a folder that all may write to', () => {
  it.each([true, false])(
    'gets no byte of ours to a place of theirs, and has no work of ours removed (exchange of names: %s)',
    async (exchange) => {
      const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-race-'));
      chmodSync(folder, 0o777);
      const home = join(folder, 'home');
      mkdirSync(home, { mode: 0o700 });
      writeFileSync(join(home, 'secret'), 'secret', { mode: 0o600 });
      const thesis = join(folder, 'thesis');
      mkdirSync(join(thesis, 'chapters'), { recursive: true });
      for (const name of ['thesis.tex', 'chapters/one.tex', 'model.safetensors']) writeFileSync(join(thesis, name), 'years of work');
      // As old as work is: what was left an hour ago is taken for what an ended process left.
      const past = new Date(Date.now() - 3_600_000);
      for (const path of [join(thesis, 'chapters'), thesis]) utimesSync(path, past, past);
      const contents = () => Object.values(pictureOf(home));
      const before = contents();
      const seed = seedOf(20_261_130);
      const words = [
        '--reuid',
        String(STRANGER),
        '--regid',
        String(STRANGER),
        '--clear-groups',
        process.execPath,
        ATTACKER,
        folder,
        String(seed),
      ];
      const attacker = spawn(systemTool('setpriv'), words, { stdio: ['ignore', 'pipe', 'inherit'] });
      let renamed = '';
      attacker.stdout.setEncoding('utf8').on('data', (text: string) => {
        renamed += text;
      });
      const ended = once(attacker, 'close');
      const binding = loadBinding();
      const outcomes: Record<string, number> = {};
      try {
        for (let round = 0; round < ROUNDS; round++) {
          const outcome = await publish(join(folder, 'out'), exchange, binding);
          outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
          expect(outcome).not.toContain('E_INTERNAL');
        }
      } finally {
        writeFileSync(join(folder, 'stop'), '');
        await ended;
      }
      process.stdout.write(`exchanged ${renamed.trim()} times; ${JSON.stringify(outcomes)}\n`);
      expect(Number(renamed)).toBeGreaterThan(10);
      expect(contents()).toEqual(before);
      const place = readdirSync(folder, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith('one.tex'));
      expect(place).toBeDefined();
      const work = join(folder, place!, '../..');
      expect(readdirSync(work, { recursive: true }).sort()).toEqual(['chapters', 'chapters/one.tex', 'model.safetensors', 'thesis.tex']);
      expect(readFileSync(join(work, 'thesis.tex'), 'utf8')).toBe('years of work');
      expect(intoTheirs(folder)).toEqual([]);
      rmSync(folder, { recursive: true });
    },
    CAMPAIGN_MS,
  );
});

/** Files of this user's in folders of the stranger's. */
function intoTheirs(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && statSync(entry.parentPath).uid === STRANGER)
    .filter((entry) => statSync(join(entry.parentPath, entry.name)).uid !== STRANGER)
    .map((entry) => join(entry.parentPath, entry.name));
}

async function publish(output: string, exchange: boolean, binding: ReturnType<typeof loadBinding>): Promise<string> {
  const request = { output, kind: 'folder', force: true, resume: false, identity: 'race', bytes: 10, unsafeNoSync: true } as const;
  const hooks = exchange ? { rename: (from: string, to: string, how: 'noreplace' | 'exchange') => binding.rename(from, to, how) } : {};
  try {
    const publication = await beginPublication(request, hooks);
    try {
      writeFileSync(join(publication.dir, 'model.safetensors'), 'ours');
      await publication.finish();
      return 'published';
    } catch (error) {
      await publication.abandon({ keep: false });
      throw error;
    }
  } catch (error) {
    return error instanceof MergeError ? error.code : `E_INTERNAL ${String(error)}`;
  }
}
