import type { Option } from '../options.ts';

/** What a grid has of its own, beside the axes that are a recipe's output's. */
export const GRID = {
  windows: {
    kind: 'distance',
    value: 'list',
    typed: '125B,250B,500B',
    help: 'how far back from its end each merge reaches, the beginning not included: tokens, 5000steps or 10ckpt (required)',
  },
  endpoints: {
    kind: 'text',
    value: 'list',
    default: 'newest',
    help: 'where merges end: newest; every:250B, the newest save at or before each multiple, and the newest; all saves; or places of saves, as 12000,500B',
  },
  strides: { kind: 'count', value: 'list', default: 1, typed: '1,2', help: 'every so many saves of a window, counted back from its end' },
  members: {
    kind: 'text',
    value: 'list',
    wanted: 'all, or top:K, as top:8',
    default: 'all',
    help: 'which saves of a window: all, or the best so many by their scores, as top:8',
  },
  memberScores: {
    kind: 'path',
    help: 'scores by step, for top:K: CSV or JSON, or a folder with results of lm-eval or lighteval for each step',
  },
  memberMetrics: { kind: 'words', help: 'which of several scores, as task/metric,filter; with =WEIGHT for a weighted sum' },
  memberGoal: {
    kind: 'choice',
    choices: ['maximize', 'minimize'],
    default: 'as the results say',
    help: 'better scores are the larger: maximize, or the smaller: minimize',
  },
  controls: {
    kind: 'text',
    value: 'list',
    typed: 'reverse,scramble-seeds:1-3',
    help: 'beside each merge the same with its weights in another order',
  },
  stageStarts: {
    kind: 'point',
    value: 'list',
    typed: '3T,5T',
    help: 'places at which data, batch or learning rate change: windows that cross one are flagged',
  },
} as const satisfies Readonly<Record<string, Option>>;
