import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MergeError } from '../../src/base/errors.ts';
import { average, diff, forecast, inspect, plan, planRecipe, routers, runRecipe, search, soup, verify, watch } from '../../src/index.ts';

/** JavaScript calls the library, too: nothing holds it to the types. */
type Call = (options: unknown) => Promise<unknown>;
const CALLS = { average, plan, watch, search, soup, forecast, routers, diff } as unknown as Readonly<Record<string, Call>>;

let dir: string;
/** Right in everything but that nothing is there. */
const right = (call: string): Record<string, unknown> => ({
  ...(call === 'watch' ? { run: join(dir, 'no-folder', 'run') } : { inputs: [join(dir, 'a'), join(dir, 'b')] }),
  ...(['routers', 'diff', 'forecast'].includes(call) ? {} : { output: join(dir, 'out') }),
  ...(['search', 'soup', 'forecast'].includes(call) ? { eval: 'false', dir: join(dir, 'study') } : {}),
});
const refusal = async (work: () => Promise<unknown>): Promise<MergeError> => {
  const error = await work().then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(MergeError);
  return error as MergeError;
};
const said = async (work: () => Promise<unknown>): Promise<string> => {
  const { code, message } = await refusal(work);
  return `${code}: ${message}`;
};

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'library-options-'));
});
afterAll(() => {
  // Whatever is refused has made nothing.
  expect(readdirSync(dir)).toEqual([]);
  rmSync(dir, { recursive: true });
});

describe.each(Object.keys(CALLS))('%s()', (call) => {
  const given = (more: object) => said(() => CALLS[call]!({ ...right(call), ...more }));

  it('takes what is right', async () => {
    expect(await given({})).toMatch(/^E_NOT_FOUND/);
    expect(await given({ bogus: undefined })).toMatch(/^E_NOT_FOUND/);
  });

  it('refuses what it does not know, saying where it belongs', async () => {
    expect(await given({ bogus: 1 })).toMatch(/^E_OPTION: unknown option `bogus`; known here: .*`?strict/);
    expect(await given({ thraeds: 1 })).toBe('E_OPTION: unknown option `thraeds`; did you mean `threads`?');
    expect(await given({ last: 3 })).toBe('E_OPTION: unknown option `last`; `last` belongs in `select`');
    expect(await given({ signal: new AbortController().signal })).toMatch(/`signal` belongs in the second argument$/);
    expect(await given({ select: { lsat: 3 } })).toBe('E_OPTION: unknown option `lsat`; did you mean `last`?');
  });

  it('refuses values of another kind', async () => {
    expect(await given({ strict: 'no' })).toBe('E_OPTION: `strict` must be true or false, not "no"');
    expect(await given({ threads: '4' })).toBe('E_OPTION: `threads` must be a whole number, not "4"');
    expect(await given({ io: 'mpa' })).toBe('E_OPTION: `io` must be one of auto, map, read, not "mpa"; did you mean map?');
    expect(await given({ select: 3 })).toMatch(/^E_OPTION: `select` takes an object with `last` and `every`, not 3$/);
    const { details } = await refusal(() => CALLS[call]!({ ...right(call), strict: 1, io: 2 }));
    expect(details.conflicts).toHaveLength(2);
  });

  it('refuses a call without what it needs, and one without options', async () => {
    for (const nothing of [undefined, null, 'run', ['run']]) {
      expect(await said(() => CALLS[call]!(nothing))).toMatch(
        new RegExp(`^E_OPTION: ${call}\\(\\) takes an object with .*\`(inputs|run)\``),
      );
    }
    for (const name of Object.keys(right(call)).filter((key) => key !== 'dir' && !(key === 'output' && /search|soup|plan/.test(call)))) {
      expect(await given({ [name]: undefined })).toBe(`E_OPTION: \`${name}\` is missing: ${call}() needs it`);
    }
    if (call !== 'watch') expect(await given({ inputs: 'run' })).toMatch(/^E_OPTION: `inputs` must be a list of paths.*, not "run"$/);
  });
});

it.each<[string, object, RegExp]>([
  ['average', { dtype: 'float32' }, /`dtype` must be one of BF16, F16, F32, F64, same, not "float32"/],
  ['average', { allowMixedDtype: true }, /did you mean `allowMixedDtypes`\?/],
  ['average', { cache: 'bogus' }, /`cache` must be one of auto, keep, drop/],
  ['average', { minMembers: 9, select: { last: 3 } }, /`minMembers` belongs in `select`/],
  ['average', { use: 'newest' }, /`use` belongs in an item of `policies`/],
  ['average', { policies: ['role=router:use=newest'] }, /item 1 of `policies` takes an object with `role` and `layers`/],
  ['average', { policies: [{ role: 'router', us: 'newest' }] }, /unknown option `us`; did you mean `use`\?/],
  ['average', { inputs: [{ path: 'a', weight: '1' }] }, /`inputs` must be a list of paths, or of \{ path, weight \}/],
  ['search', { goal: 'up' }, /`goal` must be one of maximize, minimize, not "up"/],
  ['search', { evaluate: () => 1 }, /unknown option `evaluate`/],
  ['search', { sampler: 'gpp' }, /did you mean gp\?/],
  ['soup', { metrics: ['acc'] }, /item 1 of `metrics` takes an object with `name` and `weight`/],
  ['soup', { space: 'weights' }, /unknown option `space`/],
  ['forecast', { calibrate: ['1500=0.2'] }, /item 1 of `calibrate` takes an object with `step` and `score`, not "1500=0.2"/],
  ['forecast', { output: 'out' }, /unknown option `output`/],
  ['watch', { accumulate: 'sma' }, /`accumulate` must be one of ema/],
  ['watch', { select: { steps: [1] } }, /unknown option `steps`/],
  ['routers', { force: true }, /unknown option `force`/],
  ['diff', { layers: ['0-3'] }, /item 1 of `layers` takes an object with `from` and `to`/],
])('%s() says of %o what is wrong', async (call, more, message) => {
  expect(await said(() => CALLS[call]!({ ...right(call), ...more }))).toMatch(message);
});

it('checks paths, and the options beside them', async () => {
  for (const call of [inspect, verify] as unknown as Call[]) {
    expect(await said(() => call(undefined))).toMatch(/^E_OPTION: (inspect|verify)\(\) needs the path of a checkpoint, not undefined/);
  }
  const other = verify as unknown as (path: string, options: unknown) => Promise<unknown>;
  expect(await said(() => other('a', { ful: true }))).toMatch(/did you mean `full`\?/);
});

it('checks recipes that are objects as it does those that are files', async () => {
  const run = [planRecipe, runRecipe] as unknown as ((recipe: unknown, options?: unknown) => Promise<unknown>)[];
  for (const call of run) {
    expect(await said(() => call({ inputs: ['a'] }))).toMatch(/`outputs` is missing/);
    expect(await said(() => call({ inputs: ['a'], outputs: [{}] }))).toMatch(/`path` is missing in item 1 of `outputs`/);
    expect(await said(() => call({ inputs: ['a'], outputs: [{ path: 'b', last: 3 }] }))).toMatch(/`last` belongs in `select`/);
    expect(await said(() => call({ inputs: ['a'], outputs: [{ path: 'b' }] }, { forse: true }))).toMatch(/did you mean `force`\?/);
    expect(await said(() => call({ inputs: ['a'], outputs: [] }))).toMatch(/^E_OPTION: `outputs` must be a list of objects/);
  }
});
