import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { PublishHooks } from '../../src/base/disk/system.ts';
import { findPartials } from '../../src/merge/output/partial.ts';
import { beginPublication } from '../../src/merge/output/publication.ts';
import type { PublicationRequest } from '../../src/merge/output/types.ts';
import {
  ageByAnHour,
  contentOf,
  endedProcess,
  errorOf,
  failingRename,
  flaggedRename,
  interceptedFs,
  quickFs,
  request,
  temporaryFolder,
  tensorFile,
  writeAndJournal,
} from '../support/publication.ts';

const OLD = { 'model.safetensors': 'old', 'config.json': 'old' };
const NEW = { 'a.safetensors': 'new a', 'b.safetensors': 'new b' };

interface Scenario {
  readonly name: string;
  readonly kind: 'folder' | 'file';
  readonly flags: boolean;
  readonly force: boolean;
  readonly resumed?: boolean;
}

const SCENARIOS: readonly Scenario[] = [
  { name: 'new folder', kind: 'folder', flags: true, force: false },
  { name: 'new folder, no rename flags', kind: 'folder', flags: false, force: false },
  { name: 'replaced folder', kind: 'folder', flags: true, force: true },
  { name: 'replaced folder, no rename flags', kind: 'folder', flags: false, force: true },
  { name: 'new file', kind: 'file', flags: true, force: false },
  { name: 'new file, no rename flags', kind: 'file', flags: false, force: false },
  { name: 'replaced file', kind: 'file', flags: true, force: true },
  { name: 'replaced file, no rename flags', kind: 'file', flags: false, force: true },
  { name: 'resumed folder', kind: 'folder', flags: true, force: false, resumed: true },
];

const WHOLE = { folder: NEW, file: tensorFile('new') };
const PRIOR = { folder: OLD, file: tensorFile('old') };

function renameOf(scenario: Scenario): NonNullable<PublishHooks['rename']> {
  return scenario.flags ? flaggedRename : failingRename('EINVAL');
}

async function publish(output: string, scenario: Scenario, hooks: PublishHooks, more: Partial<PublicationRequest> = {}): Promise<void> {
  const publication = await beginPublication(request(output, { kind: scenario.kind, force: scenario.force, ...more }), hooks);
  const files = scenario.kind === 'folder' ? NEW : { 'model.safetensors': WHOLE.file };
  const missing = Object.fromEntries(Object.entries(files).filter(([file, text]) => !publication.finished.has(`${file}:0-${text.length}`)));
  await writeAndJournal(publication, missing);
  await publication.finish();
}

/** Calls that change nothing that a later process could see: dying at them is dying at the next one. */
const NO_TRACE = new Set(['close', 'sync', 'datasync', 'statfs']);

/**
 * Runs until `limit` calls were made, then stands still for ever, as a killed process does. Whether it came
 * to its end.
 */
async function runAndKill(limit: number, output: string, scenario: Scenario, more: Partial<PublicationRequest> = {}): Promise<boolean> {
  let calls = 0;
  let killed = () => {};
  const death = new Promise<boolean>((resolve) => {
    killed = () => resolve(false);
  });
  const fs = interceptedFs((call) => {
    if (NO_TRACE.has(call) || ++calls <= limit) return;
    killed();
    return new Promise<void>(() => {});
  });
  const rename = renameOf(scenario);
  const hooks: PublishHooks = {
    fs,
    self: await endedProcess(),
    rename: (from, to, how) => {
      if (++calls > limit) {
        killed();
        throw new Error('killed');
      }
      rename(from, to, how);
    },
  };
  const end = publish(output, scenario, hooks, more).then(
    () => true,
    (error: unknown) => {
      // Only the synchronous rename ends in an error; the calls that would clean up after it never settle.
      if (calls > limit) return false;
      throw error;
    },
  );
  return Promise.race([end, death]);
}

function prepare(scenario: Scenario): { folder: string; output: string } {
  const folder = temporaryFolder();
  const output = join(folder, 'out');
  if (scenario.force && scenario.kind === 'folder') {
    mkdirSync(output);
    for (const [name, text] of Object.entries(OLD)) writeFileSync(join(output, name), text);
  }
  if (scenario.force && scenario.kind === 'file') writeFileSync(output, PRIOR.file);
  return { folder, output };
}

/** A process killed before it wrote who it is leaves something that only its age tells of. */
async function ageUnowned(output: string): Promise<void> {
  for (const partial of await findPartials(output)) if (partial.state === 'unknown') ageByAnHour(partial.path);
}

describe.each(SCENARIOS)('killed at any moment: $name', (scenario) => {
  const whole = WHOLE[scenario.kind];
  const allowed = scenario.force ? [whole, PRIOR[scenario.kind]] : [whole, null, {}];

  async function killedAt(limit: number): Promise<{ folder: string; output: string; ended: boolean }> {
    const { folder, output } = prepare(scenario);
    if (scenario.resumed) {
      const first = await beginPublication(request(output), { self: await endedProcess(), fs: quickFs });
      await writeAndJournal(first, { 'a.safetensors': NEW['a.safetensors'] });
      expect(await first.abandon({ keep: true })).toBe(true);
    }
    return { folder, output, ended: await runAndKill(limit, output, scenario, { resume: scenario.resumed === true }) };
  }

  test('OUT is whole or as before, and a rerun completes it and leaves nothing else', async () => {
    let states = 0;
    for (let limit = 0; ; limit++) {
      const { folder, output, ended } = await killedAt(limit);
      const found = contentOf(output);
      if (!ended && found === null && scenario.force) {
        // Only the fallback for folders has a moment without OUT; the old one lies beside it then.
        expect(scenario).toMatchObject({ kind: 'folder', flags: false });
        expect(readdirSync(folder).some((name) => name.startsWith('.out.old-'))).toBe(true);
      } else {
        expect(allowed).toContainEqual(found);
      }
      await ageUnowned(output);
      await publish(output, scenario, { rename: renameOf(scenario), fs: quickFs }, { force: true });
      expect(contentOf(output)).toEqual(whole);
      expect(readdirSync(folder)).toEqual(['out']);
      states++;
      if (ended) break;
    }
    // Every call of a publication was a moment to be killed at: there are many.
    expect(states).toBeGreaterThan(15);
  });

  test('--resume continues with what was finished, or begins', async () => {
    let resumed = 0;
    for (let limit = 0; ; limit++) {
      const { output, ended } = await killedAt(limit);
      if (ended) break;
      await ageUnowned(output);
      const before = contentOf(output);
      const attempt = publish(output, scenario, { rename: renameOf(scenario), fs: quickFs }, { resume: true });
      const error = await attempt.then(
        () => null,
        () => errorOf(attempt),
      );
      if (error === null) {
        resumed++;
        expect(contentOf(output)).toEqual(whole);
      } else {
        expect(error.code).toBe('E_OUTPUT_EXISTS');
        if (before !== null) expect(contentOf(output)).toEqual(before);
      }
    }
    expect(resumed).toBeGreaterThan(0);
  });
});
