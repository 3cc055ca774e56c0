import type { ErrorCode } from '../../src/base/errors.ts';
import type { HostileCase } from './hostile-case.ts';
import { good } from './hostile-inputs.ts';

/** Command lines over two valid checkpoints `a` and `b`: code, place, words, and a piece of the message. */
const LINES: readonly (readonly [code: ErrorCode, place: string, args: readonly string[], says: string])[] = [
  ['E_USAGE', 'command', ['avrage', 'a', 'b'], 'average'],
  ['E_USAGE', 'command that is a path', ['a', 'b'], 'merge average a b'],
  ['E_USAGE', 'help: command', ['help', 'nothing'], 'nothing'],
  ['E_USAGE', 'average: unknown option', ['average', 'a', '--wieghts', '1', '-o', 'out'], '--weights'],
  ['E_USAGE', 'average: no output', ['average', 'a', 'b'], '-o OUT'],
  ['E_USAGE', 'plan: no inputs', ['plan', '-o', 'out'], 'input'],
  ['E_USAGE', 'average: empty input', ['average', 'a', '', '-o', 'out'], 'empty'],
  ['E_USAGE', 'average: output twice', ['average', 'a', '-o', 'out', '-o', 'out2'], '--output'],
  ['E_USAGE', 'average: option in place of the output', ['average', 'a', '-o', '--force'], '--force'],
  ['E_USAGE', 'average: --json and --quiet', ['average', 'a', '-o', 'out', '--quiet', '--json'], '--quiet'],
  ['E_USAGE', 'average: both PATH:WEIGHT and --weights', ['average', 'a:1', 'b:2', '-w', '1,2', '-o', 'out'], '--weights'],
  ['E_USAGE', 'average: some inputs with weights', ['average', 'a:0.5', 'b', '-o', 'out'], 'b carries none'],
  ['E_USAGE', 'inspect: no checkpoint', ['inspect'], 'checkpoint'],
  ['E_USAGE', 'inspect: two checkpoints', ['inspect', 'a', 'b'], 'argument'],
  ['E_OPTION', 'average: empty output', ['average', 'a', '-o', ''], '--output'],
  ['E_OPTION', 'average: --method', ['average', 'a', '-m', 'median', '-o', 'out'], 'sma, wma, ema'],
  ['E_OPTION', 'average: --dtype', ['average', 'a', '--dtype', 'int8', '-o', 'out'], 'BF16, F16, F32, F64'],
  ['E_OPTION', 'average: --threads 0', ['average', 'a', '-t', '0', '-o', 'out'], '--threads'],
  ['E_OPTION', 'plan: --threads with a fraction', ['plan', 'a', '-t', '1.5', '-o', 'out'], '--threads'],
  ['E_OPTION', 'average: --memory unit', ['average', 'a', '--memory', '12Q', '-o', 'out'], '--memory'],
  ['E_OPTION', 'average: --io', ['average', 'a', '--io', 'stream', '-o', 'out'], 'map, read'],
  ['E_OPTION', 'average: --cache', ['average', 'a', '--cache', 'maybe', '-o', 'out'], 'keep, drop'],
  ['E_OPTION', 'average: --alpha 0', ['average', 'a', 'b', '-m', 'ema', '--alpha', '0', '-o', 'out'], '--alpha'],
  ['E_OPTION', 'average: --alpha over 1', ['average', 'a', 'b', '-m', 'ema', '--alpha', '1.5', '-o', 'out'], '1.5'],
  ['E_OPTION', 'average: --alpha without ema', ['average', 'a', 'b', '--alpha', '0.5', '-o', 'out'], 'alpha'],
  ['E_OPTION', 'average: --normalize without weights', ['average', 'a', 'b', '--normalize', '-o', 'out'], 'normalize'],
  ['E_OPTION', 'plan: --method and --weights', ['plan', 'a', 'b', '-m', 'ema', '-w', '1,2', '-o', 'out'], 'together'],
  ['E_OPTION', 'verify: --sample', ['verify', 'a', '--sample', '2'], '--sample'],
  ['E_OPTION', 'bench: --rounds', ['bench', '--rounds', '0'], '--rounds'],
  ['E_WEIGHTS', 'average: fewer weights than inputs', ['average', 'a', 'b', '-w', '1', '-o', 'out'], '1 weights for 2 inputs'],
  ['E_WEIGHTS', 'plan: more weights than inputs', ['plan', 'a', 'b', '-w', '1,2,3', '-o', 'out'], '3 weights for 2 inputs'],
  ['E_WEIGHTS', 'average: NaN in --weights', ['average', 'a', 'b', '-w', 'nan,1', '-o', 'out'], "'nan'"],
  ['E_WEIGHTS', 'average: infinity in --weights', ['average', 'a', 'b', '-w', '1,Infinity', '-o', 'out'], "'Infinity'"],
  ['E_WEIGHTS', 'average: weight beyond float64', ['average', 'a', 'b', '-w', '1e999,1', '-o', 'out'], "'1e999'"],
  ['E_WEIGHTS', 'average: text in --weights', ['average', 'a', 'b', '-w', '1,half', '-o', 'out'], "'half'"],
  ['E_WEIGHTS', 'average: empty weight', ['average', 'a', 'b', '-w', '1,', '-o', 'out'], "''"],
  ['E_WEIGHTS', 'average: --weights all zero', ['average', 'a', 'b', '-w', '0,0', '-o', 'out'], 'zero'],
  ['E_WEIGHTS', 'average: PATH:WEIGHT all zero', ['average', 'a:0', 'b:-0', '-o', 'out'], 'zero'],
  ['E_WEIGHTS', 'average: PATH:NaN', ['average', 'a:nan', 'b:1', '-o', 'out'], "'nan'"],
  ['E_WEIGHTS', 'average: --normalize of a sum of 0', ['average', 'a', 'b', '-w', '1,-1', '--normalize', '-o', 'out'], 'sum to 0'],
  ['E_NAMES', 'convert: names file that is another file', ['convert', 'a', '--names', 'a/config.json', '-o', 'out'], '`rules` is missing'],
  ['E_NO_CHECKPOINT', 'average: input of another kind', ['average', 'a', 'a/config.json', '-o', 'out'], 'a/config.json'],
];

const lines = LINES.map(
  ([code, place, args, says]): HostileCase => ({
    code,
    exit: code === 'E_NO_CHECKPOINT' ? 3 : 2,
    place,
    what: args.join(' '),
    make: (folder) => {
      good(folder, 'a', 1);
      good(folder, 'b', 2);
      return { args, says };
    },
  }),
);

const others: readonly HostileCase[] = [
  {
    code: 'E_ORDER',
    exit: 2,
    what: 'two inputs of one step',
    place: 'average: steps of the inputs under wma',
    make: (folder) => ({
      args: ['average', good(folder, 'x/checkpoint-7'), good(folder, 'y/checkpoint-7'), '-m', 'wma', '-o', 'out'],
      file: 'y/checkpoint-7',
      says: 'step 7',
    }),
  },
  ...[
    ['unknown set', 'avx1024'],
    ['set of another CPU', process.arch === 'arm64' ? 'avx512' : 'neon'],
    ['two sets', 'scalar,scalar'],
  ].map(
    ([place, isa]): HostileCase => ({
      code: 'E_ISA',
      exit: 2,
      what: `CKPT_MERGE_ISA=${isa}`,
      place: `average: environment, ${place}`,
      make: (folder) => ({ args: ['average', good(folder, 'a'), '-o', 'out'], env: { CKPT_MERGE_ISA: isa! }, says: `CKPT_MERGE_ISA` }),
    }),
  ),
];

export const HOSTILE_USAGE: readonly HostileCase[] = [...lines, ...others];
