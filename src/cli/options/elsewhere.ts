const IN_FILE =
  'Which saves of a window are members stands in a grid file (members, member-scores, member-metrics, member-goal): see docs/grid.md.';
const OF_WINDOWS = 'The members of each merge are those of its window: --windows 3ckpt or 50B, --endpoints and --strides.';
const OF_METHODS = 'A schedule is --method, and its parameters: --method wsm --decay linear,minus-sqrt.';

/** Options that a command has not, though one near to it has, and where what they are for stands instead. */
const ELSEWHERE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  grid: {
    ...Object.fromEntries(['members', 'member-scores', 'member-metrics', 'member-metric', 'member-goal'].map((name) => [name, IN_FILE])),
    ...Object.fromEntries(['last', 'every', 'from', 'to', 'steps', 'min-interval', 'before'].map((name) => [name, OF_WINDOWS])),
    ...Object.fromEntries(['schedule', 'schedules', 'shape', 'shapes'].map((name) => [name, OF_METHODS])),
    policy: 'Sets of policies stand in a grid file (policies): see docs/grid.md.',
    weights: 'Weights of a grid come from schedules (--method), or from --weights-file.',
  },
};

/** What to say of an unknown option; null where nothing is known of it. */
export function elsewhereHelp(command: string | undefined, message: string): string | null {
  const [, option = ''] = /unknown option '--([\w-]+)/.exec(message) ?? [];
  const known = ELSEWHERE[command ?? ''] ?? {};
  return Object.hasOwn(known, option) ? known[option]! : null;
}
