import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Point } from '../../src/search/gaussian-process/cube.ts';
import { commandSampler } from '../../src/search/sampler/command.ts';
import type { History, Observed, Sampler } from '../../src/search/sampler/types.ts';
import type { Space } from '../../src/search/space/types.ts';

let folder: string;
let samplers: Sampler[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sampler-command-'));
  samplers = [];
});
afterEach(async () => {
  for (const sampler of samplers) await sampler.close?.();
  rmSync(folder, { recursive: true, force: true });
});

const METHODS = ['sma', 'ema'];

/** lambda in [0.5, 1], window 2 to 10, method: coordinates as src/space makes them. */
const SPACE: Space = {
  name: 'schedule',
  members: [],
  roles: [],
  parameters: [
    { name: 'lambda', kind: 'real', low: 0.5, high: 1 },
    { name: 'window', kind: 'integer', low: 2, high: 10 },
    { name: 'method', kind: 'choice', values: METHODS },
  ],
  axes: [{ kind: 'real' }, { kind: 'levels', count: 9 }, { kind: 'choice', count: 2 }],
  initial: [],
  decode: ([lambda, window, method]) => ({
    lambda: 0.5 + lambda! / 2,
    window: 2 + Math.round(window! * 8),
    method: METHODS[Math.round(method!)]!,
  }),
  encode: ({ lambda, window, method }) => [(Number(lambda) - 0.5) * 2, (Number(window) - 2) / 8, METHODS.indexOf(String(method))],
  candidate: () => Promise.reject(new Error('no merge is made here')),
  locate: async () => null,
};

const NOTHING: History = { observed: [], pending: [], proposed: 0, isTaken: async () => false };
const observed = (id: number, point: Point, value: number | null, variance: number | null = null): Observed => ({
  id,
  point,
  value,
  variance,
  by: null,
  proposals: null,
});

function sampler(command: string, options: Partial<Parameters<typeof commandSampler>[2]> = {}): Sampler {
  const made = commandSampler(command, SPACE, { goal: 'maximize', seed: 0, timeout: 20, ...options });
  samplers.push(made);
  return made;
}

/**
 * A command that runs a script of Node: `line` is a message, `say` answers, all that was read goes to
 * `heard.jsonl`.
 */
function script(body: string): string {
  const file = join(folder, 'sampler.mjs');
  writeFileSync(
    file,
    `import { appendFileSync } from 'node:fs'; import { createInterface } from 'node:readline';
const say = (message) => process.stdout.write(JSON.stringify(message) + '\\n');
let asked = 0;
for await (const text of createInterface({ input: process.stdin })) {
  appendFileSync('${join(folder, 'heard.jsonl')}', text + '\\n');
  const line = JSON.parse(text);
  ${body}
}`,
  );
  return `'${process.execPath}' '${file}'`;
}

const heard = (): unknown[] =>
  readFileSync(join(folder, 'heard.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

const ANSWER = '{"params":{"lambda":0.75,"window":4,"method":"ema"}}';

describe('a sampler of the user', () => {
  test('is told the space, the goal and every trial, and asked for points', async () => {
    const made = sampler(script('if (line.ask) say({ params: { lambda: 0.6 + asked++ / 10, window: 4, method: "ema" } })'), {
      goal: 'minimize',
      seed: 7,
    });
    const history = { ...NOTHING, observed: [observed(0, [1, 0, 0], -2.5, 0.04), observed(1, [0, 1, 0], null)] };
    const first = await made.propose(history, 2);
    expect(first).toEqual([
      { point: [expect.closeTo(0.2, 12), 0.25, 1], by: 'command' },
      { point: [expect.closeTo(0.4, 12), 0.25, 1], by: 'command' },
    ]);
    await made.propose({ ...history, observed: [...history.observed, observed(5, first[0]!.point, -2.25)] }, 1);
    expect(heard()).toEqual([
      { space: { parameters: SPACE.parameters }, goal: 'minimize', seed: 7 },
      { tell: 0, params: { lambda: 1, window: 2, method: 'sma' }, score: 2.5, stderr: 0.2 },
      { tell: 1, params: { lambda: 0.5, window: 10, method: 'sma' }, status: 'failed' },
      { ask: 1 },
      { ask: 1 },
      { tell: 5, params: { lambda: 0.6, window: 4, method: 'ema' }, score: 2.25 },
      { ask: 1 },
    ]);
  });

  test('gets its own digits back, though the parameter of its point has others', async () => {
    const made = commandSampler(
      script('if (line.ask) say({ params: { lambda: 0.6004 + asked++ / 10, window: 4, method: "ema" } })'),
      { ...SPACE, decode: (point) => ({ ...SPACE.decode(point), lambda: 0.6 }) },
      { goal: 'maximize', seed: 0 },
    );
    samplers.push(made);
    const [proposal] = await made.propose(NOTHING, 1);
    await made.propose({ ...NOTHING, observed: [observed(3, proposal!.point, 1)] }, 1);
    expect(heard()[2]).toEqual({ tell: 3, params: { lambda: 0.6004, window: 4, method: 'ema' }, score: 1 });
  });

  test('ends by saying so, and is asked no more', async () => {
    const made = sampler(script('if (line.ask) say(asked++ < 1 ? { params: { lambda: 0.6, window: 4, method: "ema" } } : { stop: true })'));
    expect(await made.propose(NOTHING, 3)).toHaveLength(1);
    expect(await made.propose(NOTHING, 3)).toEqual([]);
    expect(heard().filter((line) => 'ask' in (line as object))).toHaveLength(2);
  });

  test('may be a list of recipes that reads nothing', async () => {
    const list = join(folder, 'list.ndjson');
    writeFileSync(list, `${ANSWER}\n${ANSWER.replace('0.75', '0.8')}\n{"stop":true}`);
    expect(await sampler(`exec 0<&-; cat ${list}`).propose(NOTHING, 5)).toHaveLength(2);
  });

  test('hears of what was tried before, and proposes something else', async () => {
    const made = sampler(script('if (line.ask) say({ params: { lambda: 0.5 + asked++ / 8, window: 4, method: "ema" } })'));
    const isTaken = async ([lambda]: Point) => lambda! < 0.5;
    expect(await made.propose({ ...NOTHING, isTaken }, 1)).toEqual([{ point: [0.5, 0.25, 1], by: 'command' }]);
    expect(heard().slice(1)).toEqual([
      { ask: 1 },
      { taken: true, params: { lambda: 0.5, window: 4, method: 'ema' } },
      { ask: 1 },
      { taken: true, params: { lambda: 0.625, window: 4, method: 'ema' } },
      { ask: 1 },
    ]);
  });

  test('that never proposes anything new has no more', async () => {
    const made = sampler(script(`if (line.ask) say(${ANSWER})`));
    expect(await made.propose(NOTHING, 2)).toHaveLength(1);
    expect(heard().filter((line) => 'ask' in (line as object)).length).toBeLessThan(100);
  });
});

describe('a command that breaks the protocol', () => {
  const reply = (text: string) => `printf '%s\\n' '${text}'; exec cat >/dev/null`;

  test.each([
    ['a word', reply('hello there'), [/one line of JSON/, /it wrote: hello there/]],
    ['an array', reply('[0.5]'), [/one line of JSON/, /it wrote: \[0\.5\]/]],
    ['no params', reply('{"lambda":0.6}'), [/has "params"/, /it wrote: \{"lambda":0\.6\}/]],
    ['params that are a list', reply('{"params":[0.6]}'), [/has "params"/]],
    [
      'an unknown parameter',
      reply('{"params":{"lamda":0.6,"window":4,"method":"ema"}}'),
      [/no parameter lamda: did you mean lambda/, /lambda is missing/],
    ],
    ['a missing parameter', reply('{"params":{"lambda":0.6}}'), [/window is missing/, /method is missing/]],
    ['a value below its bounds', reply(ANSWER.replace('0.75', '0.4')), [/lambda is 0\.4, and it lies between 0\.5 and 1/]],
    ['an infinite value', reply(ANSWER.replace('0.75', '1e999')), [/lambda is .*, and it lies between 0\.5 and 1/]],
    ['a value that is no number', reply(ANSWER.replace('0.75', '"0.75"')), [/lambda is "0\.75", and it is a number/]],
    ['null', reply(ANSWER.replace('0.75', 'null')), [/lambda is null, and it is a number/]],
    ['a fraction of a whole number', reply(ANSWER.replace('4', '4.5')), [/window is 4\.5, and it is a whole number/]],
    ['no such choice', reply(ANSWER.replace('ema', 'emma')), [/method is "emma", and it is one of "sma", "ema"/]],
    ['an early end', 'exit 0', [/ended with exit code 0 before it answered/]],
    ['a crash', 'exit 3', [/ended with exit code 3 before it answered/]],
    ['the end of its output alone', 'exec cat >/dev/null', [/ended its output before it answered/]],
    ['a signal', 'kill -9 $$', [/ended by SIGKILL/]],
    ['no such command', 'no-such-command-anywhere 2>/dev/null', [/exit code 127/]],
    ['binary', "head -c 4096 /dev/zero | tr '\\0' '\\377'; echo", [/not UTF-8/]],
    ['a line without end that ends', 'head -c 3000000 /dev/zero', [/at most 1048576 bytes/]],
  ])('%s', async (_, command, messages) => {
    const failure = sampler(command).propose(NOTHING, 1);
    await expect(failure).rejects.toMatchObject({ code: 'E_SAMPLER', exitCode: 1, details: { command } });
    for (const message of messages) await expect(failure).rejects.toThrow(message);
  });

  test('a terminal does not see its escape sequences', async () => {
    const failure = sampler(`printf '\\033[2Jgone\\n'; exec cat >/dev/null`).propose(NOTHING, 1);
    await expect(failure).rejects.toThrow('it wrote: \\x1b[2Jgone');
  });

  test.each([
    ['silence', 'exec sleep 60'],
    ['endless garbage in one line', 'exec cat /dev/zero'],
    ['deafness to SIGTERM, also of what it started', "trap '' TERM; (sleep 60; sleep 60) & sleep 60"],
  ])('%s ends at the time-out', async (_, command) => {
    const pid = join(folder, 'pid');
    await expect(sampler(`echo $$ > ${pid}; ${command}`, { timeout: 0.3 }).propose(NOTHING, 1)).rejects.toThrow(/no answer within 0\.3 s/);
    await vi.waitFor(() => expect(groupRuns(Number(readFileSync(pid, 'utf8')))).toBe(false));
  });
});

describe('an end from outside', () => {
  test('an abort ends the wait and the process group', async () => {
    const pid = join(folder, 'pid');
    const made = sampler(`echo $$ > ${pid}; sleep 60 & exec cat >/dev/null`);
    const controller = new AbortController();
    const waiting = made.propose(NOTHING, 1, controller.signal);
    await vi.waitFor(() => expect(existsSync(pid) && readFileSync(pid, 'utf8')).toMatch(/\d+\n/));
    controller.abort(new Error('Ctrl-C'));
    await expect(waiting).rejects.toThrow('Ctrl-C');
    await vi.waitFor(() => expect(groupRuns(Number(readFileSync(pid, 'utf8')))).toBe(false));
  });

  test('close lets it write what it has learnt', async () => {
    const made = sampler(`${script(`if (line.ask) say(${ANSWER})`)}; echo done > ${folder}/end`);
    await made.propose(NOTHING, 1);
    await made.close?.();
    expect(readFileSync(join(folder, 'end'), 'utf8')).toBe('done\n');
  });

  test('a sampler that was never asked starts nothing', async () => {
    const made = sampler(`touch ${folder}/started`);
    await made.close?.();
    expect(existsSync(join(folder, 'started'))).toBe(false);
  });
});

/** Zombies, which only wait for their parent to look, are not running. */
function groupRuns(leader: number): boolean {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .some((pid) => {
      try {
        // pid (command) state parent group
        const [state, , group] = readFileSync(`/proc/${pid}/stat`, 'latin1').replace(/.*\) /s, '').split(' ');
        return Number(group) === leader && state !== 'Z';
      } catch {
        return false;
      }
    });
}
