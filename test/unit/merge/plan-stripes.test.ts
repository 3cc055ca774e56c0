import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import pc from 'picocolors';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SYSTEM } from '../../../src/base/disk/system.ts';
import { buildPlan } from '../../../src/merge/plan/build.ts';
import { planDocument } from '../../../src/merge/plan/document.ts';
import { stripeHints } from '../../../src/merge/plan/outputs/stripes.ts';
import { planText } from '../../../src/merge/plan/text.ts';
import type { PlanOutput } from '../../../src/merge/plan/types.ts';
import { temporaryFolder, writeCheckpoint } from '../../support/checkpoints.ts';

const LUSTRE = 0x0bd00bd0;
const EXT4 = 0xef53;

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
  mkdirSync(at('bin'));
  mkdirSync(at('scratch'));
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  folder.remove();
});
const at = (...parts: string[]) => join(folder.path, ...parts);

/** Puts an `lfs` on the path that notes what it is asked, and answers so. */
function fakeLfs(answer: string, code = 0): void {
  writeFileSync(at('bin', 'lfs'), `#!/bin/sh\necho "$*" >> '${at('asked')}'\necho '${answer}'\nexit ${code}\n`);
  chmodSync(at('bin', 'lfs'), 0o755);
}
const asked = () => (existsSync(at('asked')) ? readFileSync(at('asked'), 'utf8').trim().split('\n') : []);
const hints = async (paths: readonly string[], type = LUSTRE) => {
  const host = { typeOf: async () => type, env: { PATH: at('bin') } };
  return (
    await stripeHints(
      paths.map((path) => ({ path }) as PlanOutput),
      host,
    )
  ).map(({ hint }) => hint);
};

describe('an output on Lustre', () => {
  it('whose folder has one stripe a file gets the command that changes that', async () => {
    fakeLfs('1');
    expect(await hints([at('scratch', 'merged')])).toEqual([expect.stringMatching(new RegExp(`: lfs setstripe -c -1 ${at('scratch')}$`))]);
    // It was only asked.
    expect(asked()).toEqual([`getstripe -d -c ${at('scratch')}`]);
  });

  it('in folders that are to be made: the nearest one that is there', async () => {
    fakeLfs('1');
    expect(await hints([at('scratch', 'a', 'b', 'merged')])).toEqual([expect.stringContaining(`lfs setstripe -c -1 ${at('scratch')}`)]);
  });

  it('with a name that a shell would take apart', async () => {
    fakeLfs('1');
    mkdirSync(at("my user's"));
    expect(await hints([at("my user's", 'merged')])).toEqual([expect.stringMatching(/ 'my|'\/.*my user'\\''s'$/)]);
  });

  it('is told once of each folder', async () => {
    fakeLfs('1');
    const told = await hints([at('scratch', 'a'), at('scratch', 'b'), at('c')]);
    expect(told.map((hint) => hint !== undefined)).toEqual([true, false, true]);
    expect(asked()).toHaveLength(2);
  });

  it.each(['4', '-1', '0', '', '1\n2', 'lcm_layout_gen: 3'])('that answers %j gets none', async (answer) => {
    fakeLfs(answer);
    expect(await hints([at('scratch', 'merged')])).toEqual([undefined]);
  });

  it('gets none where lfs fails, or is not there', async () => {
    expect(await hints([at('scratch', 'merged')])).toEqual([undefined]);
    fakeLfs('1', 2);
    expect(await hints([at('scratch', 'merged')])).toEqual([undefined]);
  });
});

it('nobody is asked about another file system', async () => {
  fakeLfs('1');
  expect(await hints([at('scratch', 'merged')], EXT4)).toEqual([undefined]);
  expect(asked()).toEqual([]);
});

it('a plan says it as a note, and neither as a warning nor in what is written', async () => {
  fakeLfs('1');
  const input = writeCheckpoint(at('checkpoint-1'), [[{ name: 'w', dtype: 'BF16', shape: [8] }]], 1);
  const request = { inputs: [input], outputs: [{ path: at('scratch', 'merged') }] };
  const elsewhere = await buildPlan(request);
  vi.stubEnv('PATH', at('bin'));
  vi.spyOn(SYSTEM.fs, 'statfs').mockImplementation((async (path: string) => ({ ...(await statfs(path)), type: LUSTRE })) as never);
  const plan = await buildPlan(request);
  const document = planDocument(plan);
  expect(document.outputs[0]!.notes).toEqual([expect.stringContaining('lfs setstripe -c -1')]);
  expect(planText(document, pc.createColors(false), { columns: 100 })).toContain('lfs setstripe -c -1');
  expect(document.warnings).toEqual(planDocument(elsewhere).warnings);
  expect(planDocument(elsewhere).outputs[0]!.notes).toEqual([]);
  expect(plan.outputs[0]!.digest).toBe(elsewhere.outputs[0]!.digest);
});
