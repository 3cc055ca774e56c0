import { describe, expect, it } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import { gridProblems } from '../../../src/recipe/grid/check.ts';
import { parseGrid } from '../../../src/recipe/grid/parse.ts';
import type { Grid } from '../../../src/recipe/grid/types.ts';

/** What is wrong with a grid, as `place: message`. */
const wrong = (grid: object) =>
  gridProblems({ run: 'run', windows: '125B', ...grid } as Grid).map(({ path, message }) => `${path.join('.')}: ${message}`);

describe('a grid', () => {
  it.each<[object, string]>([
    [{ windows: undefined }, ': windows is missing: how far back each merge reaches'],
    [{ windows: [] }, 'windows: windows names no value'],
    [{ windows: ['125B', '125000M'] }, 'windows.1: windows names 125000M twice'],
    [{ windows: ['125B', '0'] }, 'windows.1: windows takes a distance over 0, not 0'],
    [{ windows: '-5B' }, "windows.0: windows takes tokens (8B, 500M, 1.5T), steps (1000, 1000steps) or checkpoints (3ckpt), not '-5B'"],
    [
      { windows: '1.5ckpt' },
      "windows.0: windows takes tokens (8B, 500M, 1.5T), steps (1000, 1000steps) or checkpoints (3ckpt), not '1.5ckpt'",
    ],
    [{ windows: [{}] }, 'windows.0: windows takes amounts such as 125B or 5000steps, not {}'],
    [
      { endpoints: 'newes' },
      'endpoints.0: endpoints takes newest, all, every:250B, or the place of a save, as 12000 or 500B, not "newes"; did you mean newest?',
    ],
    [{ endpoints: 'every:0B' }, 'endpoints.0: endpoints every takes a distance over 0, not 0B'],
    [{ endpoints: 'every:10ckpt' }, 'endpoints.0: endpoints every:10ckpt counts saves, and what is removed of them would move it'],
    [{ endpoints: '3ckpt' }, 'endpoints.0: endpoints takes a step or a token count, not 3ckpt'],
    [{ strides: [1, 0] }, 'strides.1: strides takes a whole number of at least 1, not 0'],
    [{ strides: 1.5 }, 'strides.0: strides takes a whole number of at least 1, not 1.5'],
    [{ stage: -1 }, 'stage: stage takes a whole number of at least 0, not -1'],
    [{ controls: 'revers' }, 'controls.0: controls takes reverse and scramble-seeds:1-3, not "revers"'],
    [{ controls: 'scramble-seeds:3-1' }, 'controls.0: controls scramble-seeds:3-1: the first seed, 3, lies above the last, 1'],
    [
      { controls: 'scramble-seeds:1-100000000' },
      'controls.0: controls scramble-seeds:1-100000000: these are 100000000 seeds, and at most 10000 are of use',
    ],
    [{ tokensPerStep: 0 }, 'tokensPerStep: tokensPerStep takes tokens over 0, not 0'],
    [{ controls: ['reverse', 'reverse'] }, 'controls.1: controls names reverse twice'],
    [{ stageStarts: '3ckpt' }, 'stageStarts.0: stageStarts takes a step or a token count, not 3ckpt'],
    [{ method: 'emaa' }, 'method.0: method cannot be "emaa"; did you mean ema?'],
    [{ method: 'extrapolate' }, 'method.0: extrapolate has windows of its own, and no place in a grid'],
    [{ dtype: ['BF16', 'F8'] }, 'dtype.1: dtype cannot be "F8"'],
    [{ router: 'newst' }, 'router.0: router cannot be "newst"; did you mean newest?'],
    [{ alpha: 0.1 }, 'alpha: alpha belongs to ema and ema-normalized: method has to say which'],
    [{ method: ['sma', 'wma'], alpha: 0.1 }, 'alpha: alpha has no meaning for sma, wma: it belongs to ema, ema-normalized'],
    [{ method: 'ema', alpha: [0.1, 2] }, 'alpha.1: alpha must be a number over 0 and at most 1, not 2'],
    [
      { method: 'ema', alpha: 0.1, halfLife: '5B' },
      'halfLife.0: alpha and halfLife cannot be used together: alpha counts members, a half-life measures',
    ],
    [{ method: 'lr-curve' }, 'method: method lr-curve needs lrCurve'],
    [{ optimizer: 'newest' }, 'optimizer: `optimizer` has a meaning only with `for: resume`'],
    [{ tokensPerStep: '4M', tokensFile: 'a.csv' }, 'tokensFile: `tokensFile` is a second source of token counts: keep one of them'],
    [{ policies: [] }, 'policies: `policies` are sets of policies by their names'],
    [{ policies: { 'a/b': [] } }, 'policies.a/b: "a/b" cannot be the name of a set of policies'],
    [{ policies: { a: {} } }, 'policies.a: the set of policies a must be a list'],
  ])('%j is refused', (grid, message) => {
    expect(wrong(grid)).toContain(message.replace('`policies` are', 'policies are'));
  });

  it('without fault has no problems', () => {
    expect(wrong({ endpoints: ['every:250B', 'newest', 'all', 12_000, '500B'], strides: [1, 2], decay: ['linear', 'minus-sqrt'] })).toEqual(
      [],
    );
    expect(wrong({ controls: ['reverse', 'scramble-seeds:1-3', 'scramble-seeds:9'], method: ['sma', 'ema'], alpha: [0.1, 0.2] })).toEqual(
      [],
    );
    expect(wrong({ for: 'resume', optimizer: ['newest', 'drop'], policies: { plain: [], a: [{ role: 'norms', use: 'newest' }] } })).toEqual(
      [],
    );
  });
});

describe('a grid file', () => {
  const parse = (text: string) => parseGrid('grid.yaml', text, (path) => `/at/${path}`);

  it('of a shape says what that is called, and names the line of what is no number of tokens', () => {
    expect(() => parse('run: run\nwindows: 125B\nshape: linear\n')).toThrow(
      /^grid\.yaml:3:1: unknown key `shape`; the shape of weights is `method` with its parameters, as `decay: \[linear, minus-sqrt\]`/,
    );
    expect(() => parse('run: run\nwindows: 125B\ntokens-per-step: 0\n')).toThrow(
      /^grid\.yaml:3:18: tokens-per-step takes tokens over 0, not 0/,
    );
  });

  it('has the names of recipes, one value or a list', () => {
    const grid = parse(`
run: run
windows: [125B, 500B]
endpoints: every:250B
strides: [1, 2]
method: [wsm, ema]
decay: minus-sqrt
half-life: [20B]
decay-floor: 0
stage-starts: 3T
tokens-per-step: 4M
like: run/step1000
policies:
  plain: []
  newest-routers: [{ role: routers, use: newest }]
`);
    expect(grid).toEqual({
      ...{ run: '/at/run', windows: ['125B', '500B'], endpoints: 'every:250B', strides: [1, 2], method: ['wsm', 'ema'] },
      ...{ decay: 'minus-sqrt', halfLife: ['20B'], decayFloor: 0, stageStarts: '3T', tokensPerStep: '4M', like: '/at/run/step1000' },
      policies: { plain: [], 'newest-routers': [{ role: 'routers', use: 'newest' }] },
    });
  });

  it('tells every fault with its line', () => {
    let error: unknown;
    try {
      parse(`
windows: [125B, 125000M]
strides: two
metod: ema
alpha: [0.1, 0.2]
policies:
  a: [{ rol: norms }]
`);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(MergeError);
    const { code, details } = error as MergeError;
    expect(code).toBe('E_GRID');
    expect(details.conflicts!.map(({ message }) => message.split('\n')[0])).toEqual([
      'grid.yaml:2:1: `run` is missing',
      'grid.yaml:2:17: windows names 125000M twice',
      'grid.yaml:3:10: `strides` must be a value or a list of values, not two',
      'grid.yaml:4:1: unknown key `metod`; did you mean `method`?',
      'grid.yaml:5:8: alpha belongs to ema and ema-normalized: method has to say which',
      'grid.yaml:7:9: unknown key `rol`; did you mean `role`?',
    ]);
  });
});
