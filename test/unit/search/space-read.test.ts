import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import { randomOf } from '../../../src/base/numbers/random.ts';
import type { ScheduleMember } from '../../../src/recipe/schedule/types.ts';
import { parseSpace } from '../../../src/search/space/parse.ts';
import { readSpace } from '../../../src/search/space/read.ts';
import type { SpaceRequest } from '../../../src/search/space/request.ts';
import { spaceJsonSchema } from '../../../src/search/space/schema.ts';
import { spaceOf } from '../../../src/search/space/spaces.ts';

const pool = (count: number): ScheduleMember[] =>
  Array.from({ length: count }, (_, i) => ({ path: `/run/step${(i + 1) * 100}`, step: (i + 1) * 100, tokens: null }));

/** What is said of a text, each problem without the excerpt below it. */
async function problems(text: string, members = 10): Promise<string[]> {
  const error = await parseSpace('s.yaml', text, pool(members)).then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error === null) return [];
  if (!(error instanceof MergeError)) throw error;
  expect(error.code).toBe('E_SPACE');
  expect(error.exitCode).toBe(2);
  return error.details.conflicts!.map(({ message }) => message.split('\n')[0]!);
}

const parameters = (...lines: string[]) => ['space: schedule', 'parameters:', ...lines.map((line) => `  ${line}`)].join('\n');

describe('a space file', () => {
  it('describes a schedule', async () => {
    const text = `
space: schedule
parameters:
  window: { from: 2, to: 10 }            # a range of whole numbers
  spacing: [1, 2]
  method: [sma, ema, wsm]
  alpha: { from: 0.05, to: 0.5, log: true }
  decay: [linear, cosine, 1-sqrt]
fixed: { decay-floor: 0 }
roles:
  router: { window: { from: 1, to: 10 }, method: sma }
`;
    const space = await parseSpace('s.yaml', text, pool(10));
    expect(space.parameters).toEqual([
      { name: 'window', kind: 'integer', low: 2, high: 10 },
      { name: 'spacing', kind: 'choice', values: [1, 2] },
      { name: 'method', kind: 'choice', values: ['sma', 'ema', 'wsm'] },
      { name: 'alpha', kind: 'real', low: 0.05, high: 0.5, log: true },
      { name: 'decay', kind: 'choice', values: ['linear', 'cosine', '1-sqrt'] },
      { name: 'router.window', kind: 'integer', low: 1, high: 10 },
    ]);
    const params = { window: 3, spacing: 2, method: 'ema', alpha: 0.5, decay: 'linear', 'router.window': 1 };
    // A role has the spacing of the rest.
    expect(await space.candidate(params)).toEqual({
      weights: [0, 0, 0, 0, 0, 0.25, 0, 0.25, 0, 0.5],
      parts: [{ role: 'router', weights: [0, 0, 0, 0, 0, 0, 0, 0, 0, 1] }],
    });
  });

  it('describes the other spaces, JSON as well', async () => {
    expect(await parseSpace('s', 'space: pairwise\nalpha: 0.25\nseparate: [routers]', pool(2))).toMatchObject({
      name: 'pairwise',
      parameters: [{ name: 'lambda', low: 0.25 }, { name: 'routers.lambda' }],
    });
    expect(await parseSpace('s', '{"space": "weights"}', pool(3))).toMatchObject({ name: 'weights', axes: [{}, {}] });
    expect(await parseSpace('s', 'space: schedule', pool(5))).toMatchObject({ parameters: [{ name: 'window', high: 5 }, {}, {}] });
  });

  it('takes a role alone', async () => {
    const text = 'space: schedule\nfixed: { window: 4 }\nroles: { routers: { window: [1, 2, 8] } }';
    expect((await parseSpace('s', text, pool(10))).parameters).toEqual([{ name: 'routers.window', kind: 'choice', values: [1, 2, 8] }]);
  });

  it('takes a parameter that only the method of a role has', async () => {
    const text = `${parameters('alpha: { from: 0.1, to: 0.5 }')}\nroles: { routers: { method: ema } }`;
    expect(await problems(text)).toEqual([]);
  });
});

describe('what is wrong with a space file', () => {
  const cases: readonly (readonly [string, string, number?])[] = [
    ['', 's.yaml:1:1: the search space is empty'],
    ['[1, 2]', 's.yaml:1:1: a search space must be a map with `space`'],
    ['schedule', 's.yaml:1:1: a search space must be a map with `space`'],
    ['space: schedule\nspace: schedule', 's.yaml:2:1: this key is given twice in one map'],
    ['space: {', 'not valid YAML'],
    ['space: schedule\n---\nspace: weights', 'a second document begins here; a search space is one'],
    ['parameters: { window: [1, 2] }', '`space` is missing'],
    ['space:', '`space` is empty'],
    ['space: shedule', 's.yaml:1:8: `space` must be one of pairwise, weights, schedule, not "shedule"; did you mean `schedule`?'],
    ['space: constructor', '`space` must be one of pairwise, weights, schedule, not "constructor"'],
    ['space: pairwise', '1:8: a pairwise space is between two checkpoints, and there are 10'],
    ['space: pairwise\nalpha: 1', '2:8: `alpha` is 1, so that the newest alone is left', 2],
    ['space: pairwise\nalpha: -1', '`alpha` must be at least 0 and below 1, not -1', 2],
    ['space: pairwise\nalpha: half', '`alpha` must be a number of at least 0 and below 1, not "half"', 2],
    ['space: pairwise\nparameters: { window: [1, 2] }', '2:1: `parameters` has no meaning for pairwise, it belongs to schedule', 2],
    ['space: pairwise\nseparate: [routr]', '2:12: `separate[0]` must be a role, not "routr"; did you mean `router`?', 2],
    ['space: pairwise\nseparate: [router, router]', '2:20: `separate[1]`: the role router is there twice', 2],
    ['space: pairwise\nseparate: routers', '`separate` must be a list of roles, such as [routers], not "routers"', 2],
    ['space: pairwise\nseparate: []', '`separate` is an empty list', 2],
    ['space: weights', 'raw weights are of at most 8 checkpoints, and there are 10 checkpoints'],
    ['space: weights', 'weights are of at least two checkpoints, and there is 1 checkpoint', 1],
    ['space: weights\nalpha: 0.5', '`alpha` has no meaning for weights, it belongs to pairwise', 3],
    ['space: schedule', 'there is one checkpoint, and so nothing to search', 1],
    [
      'space: schedule\nseparate: [routers]',
      '`separate` has no meaning for schedule, it belongs to pairwise and weights; roles of their own stand under `roles` there',
    ],
    ['space: schedule\nparams: {}', '2:1: `params`: there is no such entry'],
    ['space: schedule\nfixed: { window: 3 }', 'nothing is searched: `parameters` holds no range and no list'],
    ['space: schedule\nparameters: {}', 'nothing is searched'],
    ['space: schedule\nparameters:', '`parameters` is empty'],
    ['space: schedule\nparameters: [window]', '`parameters` must be a map of parameters'],
    [parameters('windw: [1, 2]'), '3:3: `parameters.windw`: there is no such parameter; did you mean `window`?'],
    [parameters('lr-curve: [a, b]'), '`parameters.lr-curve`: there is no such parameter; known here: window, spacing, skip, method'],
    [
      parameters('window: 5'),
      '3:11: `parameters.window` must be a range such as { from: 2, to: 10 } or a list of values (one value stands under `fixed`), not 5',
    ],
    [parameters('window: { from: 8, to: 2 }'), '3:11: `parameters.window` goes from 8 to 2: the bounds are reversed'],
    [
      parameters('window: { from: 4, to: 4 }'),
      '`parameters.window` has one value, and so nothing to search: put it under `fixed`, as `window: VALUE`',
    ],
    [parameters('window: { from: 0, to: 4 }'), '3:19: `parameters.window.from` must be at least 1, not 0'],
    [parameters('window: { from: 1.5, to: 4 }'), '`parameters.window.from` must be a whole number, not 1.5'],
    [parameters('window: { from: two, to: 4 }'), '`parameters.window.from` must be a whole number, not "two"'],
    [parameters('window: { from: 2 }'), '`parameters.window.to` is missing'],
    [parameters('window: { from: 2, to: }'), '`parameters.window.to` is empty'],
    [parameters('window: { from: 2, to: 4, step: 2 }'), '`parameters.window.step`: there is no such entry; known here: from, to, log'],
    [parameters('window: { from: 2, to: 12 }'), '3:11: `parameters.window` goes up to 12, and there are 10 checkpoints'],
    [parameters('window: [2, 12]'), '`parameters.window` goes up to 12, and there are 10 checkpoints'],
    [
      `${parameters('window: { from: 2, to: 8 }')}\nfixed: { spacing: 2 }`,
      '`parameters.window` goes up to 8, and spacing and skip leave 5 of 10 checkpoints',
    ],
    [parameters('window: { from: 2, to: 8, log: true }'), '`parameters.window.log` is for real numbers; for whole ones list the values'],
    [parameters('window: []'), '`parameters.window` is an empty list'],
    [parameters('window: [3]'), '`parameters.window` has one value'],
    [parameters('window: [3, 4, 3]'), '3:18: `parameters.window[2]`: 3 is there twice'],
    [parameters('window: [3, x]'), '3:15: `parameters.window[1]` must be a whole number, not "x"'],
    [parameters('window:'), '`parameters.window` is empty'],
    [parameters('spacing: { from: 1, to: 10 }'), '`parameters.spacing` goes up to 10, and there are 10 checkpoints'],
    [parameters('skip: [0, 10]'), '`parameters.skip` goes up to 10, and there are 10 checkpoints'],
    [parameters('method: { from: 1, to: 2 }'), '`parameters.method` must be a list of values'],
    [
      parameters('method: [sma, lr-curve]'),
      '`parameters.method[1]` must be one of sma, wma, ema, ema-normalized, wsm, extrapolate, not "lr-curve"',
    ],
    [parameters('method: [sma, extrapolate]'), '`parameters.method`: extrapolate needs gamma, searched or fixed'],
    [
      parameters('method: [sma, extrapolate]', 'gamma: [0.5, 1]', 'skip: [0, 9]'),
      'extrapolate with lag 1 needs 2 members, and there may be as few as 1 of 10 checkpoints',
    ],
    [
      `${parameters('alpha: { from: 0, to: 0.5, log: true }')}\nfixed: { method: ema }`,
      '`parameters.alpha.from` must be over 0 and at most 1, not 0',
    ],
    [
      `${parameters('gamma: { from: 0, to: 1, log: true }')}\nfixed: { method: extrapolate }`,
      '`parameters.gamma.from` must be over 0 with `log`, not 0',
    ],
    [`${parameters('alpha: { from: .nan, to: 1 }')}\nfixed: { method: ema }`, '`parameters.alpha.from` must be a finite number'],
    [
      `${parameters('alpha: { from: 0.1, to: 0.5, log: yes }')}\nfixed: { method: ema }`,
      '`parameters.alpha.log` must be true or false, not "yes"',
    ],
    [
      parameters('alpha: [0.1, 0.2]'),
      '3:10: `parameters.alpha` has no effect: it belongs to ema and ema-normalized, and the method is sma. Add one under `method`, or leave alpha out',
    ],
    [
      parameters('method: [sma, wma]', 'decay: [linear, cosine]'),
      '`parameters.decay` has no effect: it belongs to wsm, and the method is sma, wma. Add it under `method`',
    ],
    [
      `${parameters('alpha: [0.1, 0.2]', 'half-life: [1, 2]')}\nfixed: { method: ema }`,
      '`parameters.half-life` stands in the place of `parameters.alpha`',
    ],
    [
      `${parameters('window: [2, 3]')}\nfixed: { window: 3 }`,
      '4:18: `fixed.window` is among the parameters that are searched: keep it in one place',
    ],
    [`${parameters('window: [2, 3]')}\nfixed: { skip: -1 }`, '`fixed.skip` must be at least 0, not -1'],
    [`${parameters('window: [2, 3]')}\nfixed: { skip: [1, 2] }`, '`fixed.skip` must be a whole number'],
    [
      `${parameters('window: [2, 3]')}\nroles: { routr: { window: [1, 2] } }`,
      '4:10: `roles.routr`: there is no such role; did you mean `router`?',
    ],
    [
      `${parameters('window: [2, 3]')}\nroles: { routers: { window: [1, 2] }, router: { window: 1 } }`,
      '`roles.router`: the role router is part of routers',
    ],
    [
      `${parameters('window: [2, 3]')}\nroles: { router: { window: { from: 3, to: 3 } } }`,
      '`roles.router.window` has one value, and so nothing to search: give it as a single value',
    ],
    [
      `${parameters('window: [2, 3]')}\nroles: { router: { window: { from: 3, to: 30 } } }`,
      '`roles.router.window` goes up to 30, and there are 10 checkpoints',
    ],
    [
      `${parameters('window: [2, 3]')}\nroles: { router: { windw: 3 } }`,
      '`roles.router.windw`: there is no such parameter; did you mean `window`?',
    ],
    [
      `${parameters('window: [2, 3]')}\nroles: { router: { window: wide } }`,
      '`roles.router.window` must be a range, a list of values, or one value, not "wide"',
    ],
    [
      `${parameters('window: [2, 3]')}\nroles: { router: { window: { from: 0, to: 3 } } }`,
      '`roles.router.window.from` must be at least 1, not 0',
    ],
    [`${parameters('window: [2, 3]')}\nroles: { router: }`, '`roles.router` is empty'],
    [`${parameters('window: [2, 3]')}\nroles: { router: { decay: cosine } }`, '`roles.router.decay` has no effect: it belongs to wsm'],
  ];

  it.each(cases.map(([text, expected, members]) => ({ text, expected, members })))('$text', async ({ text, expected, members }) => {
    const found = await problems(text, members);
    expect(found).toEqual([expect.stringContaining(expected)]);
  });

  it('is told all at once, in the order of the lines', async () => {
    const text = `${parameters('windw: [1, 2]', 'spacing: [1, 1]', 'alpha: { from: 2, to: 1 }')}\nfixed: { skip: -1 }\nalpha: 0.5`;
    const found = await problems(text);
    expect(found.map((line) => line.split(': ')[0])).toEqual(['s.yaml:3:3', 's.yaml:4:16', 's.yaml:5:18', 's.yaml:6:16', 's.yaml:7:1']);
  });

  it('is told of a request from a program too, without lines', async () => {
    const request = { space: 'schedule', parameters: { window: { from: 9, to: 2 }, skip: [1, 1] } } as SpaceRequest;
    await expect(spaceOf(request, pool(10))).rejects.toMatchObject({
      code: 'E_SPACE',
      message: 'the search space has 2 problems',
      details: { conflicts: [{ message: '`parameters.window` goes from 9 to 2: the bounds are reversed' }, {}] },
    });
  });

  it('is never anything but a problem of the space, whatever the file holds', async () => {
    const random = randomOf(11);
    const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
    const names = [
      'space',
      'alpha',
      'separate',
      'parameters',
      'fixed',
      'roles',
      'window',
      'spacing',
      'method',
      'half-life',
      'gamma',
      'lag',
      'from',
      'to',
      'log',
      'router',
      'mtp',
      '__proto__',
      '',
    ];
    const leaves = [null, true, 0, -1, 1, 3, 4.5, 1e308, Number.NaN, 'sma', 'extrapolate', 'pairwise', 'schedule', 'x', '', [], {}];
    const junk = (depth: number): unknown => {
      const kind = random();
      if (depth === 0 || kind < 0.3) return pick(leaves);
      if (kind < 0.5) return Array.from({ length: 3 }, () => junk(depth - 1));
      return Object.fromEntries(Array.from({ length: 4 }, () => [pick(names), junk(depth - 1)]));
    };
    let made = 0;
    for (let i = 0; i < 1000; i++) {
      const whole =
        random() < 0.9
          ? { space: pick(['pairwise', 'weights', 'schedule']), parameters: junk(3), fixed: junk(2), roles: junk(3) }
          : junk(3);
      const outcome = await spaceOf(whole as SpaceRequest, pool(Math.floor(random() * 4))).then(
        () => 'space',
        (error: MergeError) => error.code,
      );
      expect(['space', 'E_SPACE']).toContain(outcome);
      if (outcome === 'space') made++;
    }
    expect(made).toBeLessThan(1000);
  });
});

describe('reading', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'space-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const file = async (name: string, content: string | Uint8Array) => {
    await writeFile(join(folder, name), content);
    return join(folder, name);
  };

  it('takes a file', async () => {
    const path = await file('good.yaml', 'space: schedule\nparameters: { window: { from: 1, to: 3 } }\n');
    expect((await readSpace(path, pool(3))).axes).toEqual([{ kind: 'levels', count: 3 }]);
  });

  it('refuses what is none', async () => {
    await expect(readSpace(join(folder, 'absent.yaml'), pool(3))).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
    await expect(readSpace(folder, pool(3))).rejects.toMatchObject({ code: 'E_NOT_READABLE' });
    const refused = { code: 'E_SPACE', help: expect.stringContaining('docs/search.md') };
    await expect(readSpace(await file('binary', new Uint8Array([1, 0, 2])), pool(3))).rejects.toMatchObject(refused);
    await expect(readSpace(await file('latin', new Uint8Array([0xe9, 0x0a])), pool(3))).rejects.toMatchObject(refused);
    await expect(readSpace(await file('large', new Uint8Array(5 * 2 ** 20).fill(35)), pool(3))).rejects.toMatchObject(refused);
  });
});

it('has a JSON Schema with every parameter in it', () => {
  const schema = spaceJsonSchema() as { properties: Record<string, { properties?: object }>; required: string[] };
  expect(schema.required).toEqual(['space']);
  expect(Object.keys(schema.properties)).toEqual(['space', 'alpha', 'separate', 'parameters', 'fixed', 'roles']);
  expect(Object.keys(schema.properties.parameters!.properties!)).toContain('half-life');
  expect(schema.properties.roles!.properties).toHaveProperty('routers.properties.window');
});
