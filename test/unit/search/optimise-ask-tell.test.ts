import { PassThrough, Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import { type Asked, AskTellSession, type Driver, type SessionOptions } from '../../../src/search/optimise/ask-tell.ts';
import { parseMessage, type Told } from '../../../src/search/optimise/ask-tell-message.ts';
import type { Params } from '../../../src/search/space/types.ts';
import { mergeError } from '../../support/safetensors.ts';

const PARAMETERS = [
  { name: 'lambda', kind: 'real', low: 0.5, high: 1 },
  { name: 'method', kind: 'choice', values: ['sma', 'ema'] },
] as const;

const SPACE: SessionOptions['space'] = {
  name: 'schedule',
  parameters: PARAMETERS,
  /**
   * Within the bounds of its parameters there is one recipe that it does not hold, as there are weights that
   * no point stands for.
   */
  encode: ({ lambda, method }) => (method === 'ema' && lambda === 0.6 ? null : [lambda as number, 0]),
};

/** A search that merges nothing: it numbers trials, and remembers what it was called with. */
class FakeSearch implements Driver {
  readonly calls: unknown[] = [];
  readonly scores = new Map<number, number>();
  #next = 0;
  readonly left: number;
  readonly score: ((params: Params) => number) | null;

  constructor({ left = 100, score = null as ((params: Params) => number) | null } = {}) {
    this.left = left;
    this.score = score;
  }

  async ask(count: number, params: readonly Params[] | null): Promise<Asked[]> {
    this.calls.push({ ask: count, params });
    const made = Math.min(count, this.left - this.#next);
    // Answers that come after a turn of the loop: messages that wait must not overtake.
    await turn();
    return Array.from({ length: made }, (_, i) => this.#trial(this.#next++, params?.[i] ?? { lambda: 0.75, method: 'sma' }));
  }

  #trial(trial: number, params: Params): Asked {
    const score = this.score?.(params) ?? null;
    if (score !== null) this.scores.set(trial, score);
    const status = score === null ? 'open' : 'complete';
    return {
      trial,
      kind: 'trial',
      status,
      params,
      weights: [],
      model: score === null ? `/work/${trial}` : null,
      score,
      stderr: null,
      reason: null,
    };
  }

  async tell(trial: number, told: Told): Promise<{ best: number | null }> {
    this.calls.push({ tell: trial, told });
    await turn();
    if ('score' in told) this.scores.set(trial, told.score);
    return { best: this.#best() };
  }

  best(): Asked | null {
    const best = this.#best();
    return best === null ? null : { ...this.#trial(best, {}), status: 'complete', score: this.scores.get(best)!, model: null };
  }

  #best(): number | null {
    return [...this.scores].sort((a, b) => b[1] - a[1])[0]?.[0] ?? null;
  }
}

interface Play {
  readonly search?: Driver;
  readonly trials?: readonly Asked[];
  readonly signal?: AbortSignal;
  readonly conclusion?: object;
}

/** Sends all of the text (objects become lines), and reads what comes back, less the opening. */
async function play(
  messages: readonly (string | object)[],
  { search = new FakeSearch(), trials = [], signal = new AbortController().signal, conclusion }: Play = {},
) {
  const [input, output] = [new PassThrough(), new PassThrough()];
  const session = new AskTellSession({ input, output, space: SPACE, goal: 'maximize', driver: search, trials });
  input.end(messages.map((message) => (typeof message === 'string' ? message : `${JSON.stringify(message)}\n`)).join(''));
  const chunks: Buffer[] = [];
  output.on('data', (chunk: Buffer) => chunks.push(chunk));
  const end = await session.run(signal);
  if (conclusion !== undefined) await session.conclude(conclusion, signal);
  const text = Buffer.concat(chunks).toString();
  expect(text.endsWith('\n')).toBe(true);
  const [opening, ...lines] = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  return { opening, lines, end, session };
}

describe('a session', () => {
  it('begins with the parameters, asks, is told, says the best and ends with the conclusion', async () => {
    const search = new FakeSearch();
    const messages = [{ ask: 2 }, { tell: 1, score: 0.61, stderr: 0.005 }, { tell: 0, score: 0.6 }, { best: 1 }, { stop: 1 }, { ask: 1 }];
    const { opening, lines, end, session } = await play(messages, { search, conclusion: { gainClaimed: false } });
    expect(opening).toEqual({ search: { space: { name: 'schedule', parameters: PARAMETERS }, goal: 'maximize', trials: [] } });
    expect(lines).toEqual([
      {
        trial: 0,
        kind: 'trial',
        status: 'open',
        params: { lambda: 0.75, method: 'sma' },
        weights: [],
        model: '/work/0',
        score: null,
        stderr: null,
        reason: null,
      },
      expect.objectContaining({ trial: 1, model: '/work/1' }),
      { told: 1, best: 1 },
      { told: 0, best: 1 },
      { best: expect.objectContaining({ trial: 1, score: 0.61 }) },
      { conclusion: { gainClaimed: false } },
    ]);
    expect(end).toBe('stop');
    expect(session.open).toEqual([]);
    // What stands behind stop was not heeded.
    expect(search.calls).toEqual([
      { ask: 2, params: null },
      { tell: 1, told: { score: 0.61, stderr: 0.005 } },
      { tell: 0, told: { score: 0.6 } },
    ]);
  });

  it('takes proposals of the driver, one or many in one ask, and scores them where the search has an evaluator', async () => {
    const search = new FakeSearch({ score: (params) => 1 - Math.abs((params.lambda as number) - 0.75) });
    const { lines } = await play(
      [
        { ask: 1, params: { lambda: 0.5, method: 'ema' } },
        {
          ask: 2,
          params: [
            { lambda: 0.75, method: 'sma' },
            { lambda: 0.875, method: 'sma' },
          ],
        },
        { best: true },
        { tell: 1, score: 3 },
      ],
      { search },
    );
    expect(lines.slice(0, 3)).toMatchObject([
      { trial: 0, score: 0.75, model: null, status: 'complete' },
      { trial: 1, score: 1, params: { lambda: 0.75, method: 'sma' } },
      { trial: 2, score: 0.875, params: { lambda: 0.875, method: 'sma' } },
    ]);
    expect(lines[3].best.trial).toBe(1);
    expect(lines[4].error.message).toContain('trial 1 was scored by the search');
    expect(search.calls).toHaveLength(2);
  });

  it('tells failures and skips, with or without a reason, and item scores', async () => {
    const search = new FakeSearch();
    const { lines } = await play(
      [
        { ask: 3 },
        { tell: 0, status: 'failed', reason: 'out of memory' },
        { tell: 1, status: 'skipped' },
        { tell: 2, score: 0.5, scores: [0.4, 0.6], stderr: null },
      ],
      { search },
    );
    expect(lines.slice(3)).toEqual([
      { told: 0, best: null },
      { told: 1, best: null },
      { told: 2, best: 2 },
    ]);
    expect(search.calls.slice(1)).toEqual([
      { tell: 0, told: { status: 'failed', reason: 'out of memory' } },
      { tell: 1, told: { status: 'skipped' } },
      { tell: 2, told: { score: 0.5, scores: [0.4, 0.6] } },
    ]);
  });

  it('says when the sampler has no more, after what there still was', async () => {
    const { lines } = await play([{ ask: 3 }, { ask: 1 }], { search: new FakeSearch({ left: 2 }) });
    expect(lines.map((line) => line.trial ?? line)).toEqual([0, 1, { exhausted: true }, { exhausted: true }]);
  });

  it('leaves trials open that were never told', async () => {
    const { session, end } = await play([{ ask: 3 }, { tell: 1, score: 1 }]);
    expect(session.open).toEqual([0, 2]);
    expect(end).toBe('end of input');
  });

  it('shows what a resumed search knows, which cannot be told again', async () => {
    const known: Asked = {
      trial: 4,
      kind: 'newest',
      status: 'complete',
      params: null,
      weights: [],
      model: null,
      score: 0.5,
      stderr: 0.1,
      reason: null,
    };
    const { opening, lines } = await play([{ tell: 4, score: 1 }, { best: 1 }], { trials: [known] });
    expect(opening.search.trials).toEqual([known]);
    expect(lines).toEqual([
      { error: expect.objectContaining({ message: 'trial 4 was scored by the search: there is nothing to tell' }) },
      { best: null },
    ]);
  });
});

describe('a bad message', () => {
  const bad: readonly [string | object, string | RegExp][] = [
    ['hello\n', 'this is not JSON: hello'],
    ['{"ask":1\n', 'this is not JSON'],
    ['[{"ask":1}]\n', 'a message is a JSON object'],
    ['null\n', 'a message is a JSON object, and not null'],
    ['7\n', 'a message is a JSON object, and not 7'],
    [{}, 'this has an empty object'],
    [{ suggest: 1 }, 'only "suggest"'],
    [{ ask: 1, tell: 0, score: 1 }, 'ask and tell in one message'],
    [{ ask: 0 }, 'ask is how many trials, 1 to 256, and not 0'],
    [{ ask: 257 }, 'not 257'],
    [{ ask: -1 }, 'not -1'],
    [{ ask: 1.5 }, 'not 1.5'],
    [{ ask: '1' }, 'not "1"'],
    [{ ask: null }, 'not null'],
    [{ ask: 1, parms: {} }, '"parms" does not belong to ask: did you mean params?'],
    ['{"ask":1,"__proto__":{"lambda":1}}\n', '"__proto__" does not belong to ask'],
    [{ ask: 2, params: { lambda: 0.7, method: 'sma' } }, 'ask is 2 and there are params for 1'],
    [{ ask: 1, params: [] }, 'there are params for 0'],
    [{ ask: 1, params: [[0.7]] }, 'params is an object of names and values, and not [0.7]'],
    [{ ask: 1, params: 'lambda=1' }, 'params is an object of names and values, and not "lambda=1"'],
    [{ ask: 1, params: { lambda: null, method: 'sma' } }, 'params: lambda is null, and it is a number'],
    [{ ask: 1, params: { lambda: 0.4, method: 'sma' } }, 'params: lambda is 0.4, and it lies between 0.5 and 1'],
    ['{"ask":1,"params":{"lambda":1e999,"method":"sma"}}\n', 'params: lambda is Infinity, and it lies between 0.5 and 1'],
    [
      { ask: 1, params: { lamda: 0.7, method: 'wma' } },
      /no parameter lamda: did you mean lambda\?; params: the parameter lambda is missing; params: method is "wma", and/,
    ],
    [
      {
        ask: 2,
        params: [
          { lambda: 0.7, method: 'sma' },
          { lambda: 2, method: 'sma' },
        ],
      },
      'params 2: lambda is 2',
    ],
    [{ ask: 1, params: { lambda: 0.6, method: 'ema' } }, 'params: they lie outside the space'],
    [{ tell: 99, score: 1 }, 'there is no trial 99 in this session (open: 0)'],
    [{ tell: '0', score: 1 }, 'tell is the number of a trial, and not "0"'],
    [{ tell: 0 }, 'a trial is told with a score, or with the status failed or skipped'],
    [{ tell: 0, score: 1, status: 'failed' }, 'a trial with a score has no status'],
    [{ tell: 0, score: null }, 'score is a finite number, and not null'],
    [{ tell: 0, score: '1' }, 'score is a finite number, and not "1"'],
    ['{"tell":0,"score":NaN}\n', 'this is not JSON'],
    ['{"tell":0,"score":1,"score":2}\n', '"score" is there twice'],
    ['{"tell":0,"score":1e999}\n', 'score is a finite number, and not Infinity'],
    [{ tell: 0, score: 1, stderr: -0.1 }, 'stderr is a number from 0 to 1e100'],
    [{ tell: 0, score: -1e200 }, 'score is at most 1e100 in size'],
    [{ tell: 0, score: 1, stderr: 1e200 }, 'stderr is a number from 0 to 1e100'],
    [{ tell: 0, score: 1, scores: [] }, 'scores is a list of finite numbers'],
    [{ tell: 0, score: 1, scores: [1, null] }, 'scores is a list of finite numbers'],
    [{ tell: 0, score: 1, scores: [1, 2] }, 'the mean of scores is 1.5, and score is 1'],
    [{ tell: 0, status: 'ok' }, 'status is failed or skipped, and not "ok"'],
    [{ tell: 0, status: 'failed', reason: 3 }, 'reason is text, and not 3'],
    [{ tell: 0, status: 'failed', stderr: 0.1 }, 'stderr is of a trial with a score'],
    [{ tell: 0, sore: 1, stderr: 'x', score: 1 }, /"sore" does not belong to tell.*score\?; stderr is a number/],
    [{ best: 0 }, 'best is 1, and not 0'],
    [{ stop: 'now' }, 'stop is 1, and not "now"'],
    [`{"ask":1,"params":{"lambda":"${'x'.repeat(2 ** 20)}"}}\n`, 'a line has at most 1048576 bytes'],
    ['\u0000\u0001\n', 'this is not JSON'],
  ];

  it.each(bad)('%.60s is answered, changes nothing, and the session goes on', async (message, expected) => {
    const search = new FakeSearch();
    const { lines, session } = await play([{ ask: 1 }, message, { tell: 0, score: 1 }], { search });
    expect(lines).toHaveLength(3);
    expect(lines[1]).toEqual({
      error: { code: expect.stringMatching(/^E_PROTOCOL$|^E_PARAMS$/), message: expect.any(String), help: expect.any(String), line: 2 },
    });
    expect(lines[1].error.message).toMatch(expected);
    expect(lines[2]).toEqual({ told: 0, best: 0 });
    expect(search.calls).toHaveLength(2);
    expect(session.open).toEqual([]);
  });

  it('of a trial that was told before leaves the first answer standing', async () => {
    const search = new FakeSearch();
    const { lines } = await play([{ ask: 1 }, { tell: 0, score: 1 }, { tell: 0, score: 2 }, { best: 1 }], { search });
    expect(lines[2].error).toMatchObject({ code: 'E_PROTOCOL', message: 'trial 0 was told before', help: 'The first answer stands.' });
    expect(lines[3].best.score).toBe(1);
  });

  it('with a NaN, which Python writes, is told how to say it', async () => {
    const { lines } = await play([{ ask: 1 }, '{"tell": 0, "score": NaN}\n']);
    expect(lines[1].error.help).toContain('{"tell":7,"status":"failed"}');
  });

  it('that is not UTF-8 is no message', async () => {
    const input = new PassThrough();
    const output = new PassThrough();
    const session = new AskTellSession({ input, output, space: SPACE, goal: 'minimize', driver: new FakeSearch() });
    input.end(Buffer.from([0x7b, 0xff, 0x7d, 0x0a]));
    await session.run(new AbortController().signal);
    expect(JSON.parse(output.read().toString().split('\n')[1]).error.message).toBe('the line is not UTF-8');
  });
});

describe('lines', () => {
  it('may come in pieces, with empty lines and carriage returns between them, cut inside a letter', async () => {
    const [input, output] = [new PassThrough(), new PassThrough()];
    const search = new FakeSearch();
    const session = new AskTellSession({ input, output, space: SPACE, goal: 'maximize', driver: search });
    const done = session.run(new AbortController().signal);
    for (const byte of Buffer.from('\r\n{"ask":1}\r\n\n  \n{"tell":0,"status":"failed","reason":"für nichts 🙂"}\n')) {
      input.write(Buffer.of(byte));
      await turn();
    }
    input.end();
    expect(await done).toBe('end of input');
    expect(search.calls[1]).toEqual({ tell: 0, told: { status: 'failed', reason: 'für nichts 🙂' } });
    expect(output.read().toString().trimEnd().split('\n')).toHaveLength(3);
  });

  it('without an end count where they are whole, and are answered where they were cut off', async () => {
    expect((await play([{ ask: 1 }, '{"tell":0,"score":1}'])).lines[1]).toEqual({ told: 0, best: 0 });
    const cut = await play([{ ask: 1 }, '{"tell":0,"score":1']);
    expect(cut.lines[1].error.message).toContain('this is not JSON');
    expect(cut.session.open).toEqual([0]);
  });

  it('of exactly the limit are read, and one byte more is not', async () => {
    const line = (bytes: number) => `{"ask":1${' '.repeat(bytes - 9)}}\n`;
    const { lines } = await play([line(2 ** 20), line(2 ** 20 + 1)]);
    expect(lines.map((answer) => Object.keys(answer)[0])).toEqual(['trial', 'error']);
  });

  it('without an end for ever do not fill the memory', async () => {
    const [input, output] = [new PassThrough(), new PassThrough()];
    const session = new AskTellSession({ input, output, space: SPACE, goal: 'maximize', driver: new FakeSearch() });
    const done = session.run(new AbortController().signal);
    const block = Buffer.alloc(2 ** 20, 'x');
    global.gc?.();
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 200; i++) if (!input.write(block)) await new Promise((resolve) => input.once('drain', resolve));
    // Blocks are one buffer: what is kept of them would be copied only when the line is whole, so the count
    // of its bytes says that all were seen.
    input.end('\n');
    await done;
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50 * 2 ** 20);
    expect(JSON.parse(output.read().toString().split('\n')[1]).error.message).toBe(
      `a line has at most 1048576 bytes, and this has ${200 * 2 ** 20}`,
    );
  });
});

describe('the other end', () => {
  it('that does not read its answers is waited for', async () => {
    const input = new PassThrough();
    const waiting: (() => void)[] = [];
    const output = new Writable({ highWaterMark: 1, write: (_chunk, _encoding, done) => void waiting.push(done) });
    const search = new FakeSearch();
    const session = new AskTellSession({ input, output, space: SPACE, goal: 'maximize', driver: search });
    input.end('{"ask":1}\n{"ask":1}\n{"ask":1}\n');
    const done = session.run(new AbortController().signal);
    const asked: number[] = [];
    for (let i = 0; i < 4; i++) {
      for (let k = 0; k < 20; k++) await turn();
      asked.push(search.calls.length);
      waiting.shift()!();
    }
    expect(await done).toBe('end of input');
    // The opening and each answer hold back the next message.
    expect(asked).toEqual([0, 1, 2, 3]);
  });

  it('that is gone ends the session, and what was asked for stays open', async () => {
    const input = new PassThrough();
    let written = 0;
    const output = new Writable({
      write: (_chunk, _encoding, done) => (written++ === 0 ? done() : done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))),
    });
    const search = new FakeSearch();
    const session = new AskTellSession({ input, output, space: SPACE, goal: 'maximize', driver: search });
    input.write('{"ask":1}\n{"ask":1}\n');
    expect(await session.run(new AbortController().signal)).toBe('nobody reads');
    expect(search.calls).toHaveLength(1);
    expect(session.open).toEqual([0]);
    expect(input.destroyed).toBe(true);
    await session.conclude({}, new AbortController().signal);
    expect(written).toBe(2);
  });

  it('whose pipe breaks has said all that it will say', async () => {
    const [input, output] = [new PassThrough(), new PassThrough()];
    const session = new AskTellSession({ input, output, space: SPACE, goal: 'maximize', driver: new FakeSearch() });
    const done = session.run(new AbortController().signal);
    await turn();
    input.destroy(new Error('read ECONNRESET'));
    expect(await done).toBe('end of input');
  });
});

describe('an end from this side', () => {
  it.each(['while nothing comes', 'while nobody reads'])('is prompt %s', async (when) => {
    const input = new PassThrough();
    const output = when === 'while nobody reads' ? new Writable({ write: () => {} }) : new PassThrough();
    const session = new AskTellSession({ input, output, space: SPACE, goal: 'maximize', driver: new FakeSearch() });
    const controller = new AbortController();
    const done = session.run(controller.signal);
    const reason = new Error('Ctrl-C');
    await turn();
    controller.abort(reason);
    await expect(done).rejects.toBe(reason);
    expect(input.destroyed).toBe(true);
  });

  it('that no message can mend passes through, and closes the input', async () => {
    const failing = new FakeSearch();
    failing.ask = async () => {
      throw new MergeError('E_NO_SPACE', 'full');
    };
    const error = await mergeError(() => play([{ ask: 1 }, { ask: 1 }], { search: failing }));
    expect(error.code).toBe('E_NO_SPACE');
  });

  it('of the search for what the driver can mend is an answer', async () => {
    const search = new FakeSearch();
    search.ask = async () => {
      throw new MergeError('E_PARAMS', 'a window of 1 and a spacing of 3');
    };
    const { lines, session } = await play([{ ask: 1, params: { lambda: 0.7, method: 'sma' } }, { best: 1 }], { search });
    expect(lines).toEqual([
      { error: expect.objectContaining({ code: 'E_PARAMS', message: 'a window of 1 and a spacing of 3', line: 1 }) },
      { best: null },
    ]);
    expect(session.open).toEqual([]);
  });
});

describe('a line', () => {
  it('is parsed without the session', () => {
    expect(parseMessage('{"ask":3}')).toEqual({ verb: 'ask', count: 3, params: null });
    expect(parseMessage('{"ask":1,"params":null}')).toEqual({ verb: 'ask', count: 1, params: null });
    expect(parseMessage('{"stop":true}')).toEqual({ verb: 'stop' });
  });
});
