/**
 * One merge by many machines, simulated: 2 TB of output from ten checkpoints on 64 and 300 nodes, 20 seeds
 * each, for file systems of 640, 200 and 100 GB/s; against the seconds that it could take at best. As the
 * protocol was designed, and with its rules changed one by one. Nothing is measured, so that it may run
 * beside other work.
 */
import { table } from './support/measure.js';
import { simulate, USUAL } from './support/rank-protocol.js';

/** @typedef {import('./support/rank-protocol.js').Setting} Setting */

const SEEDS = 20;

/** @type {readonly { name: string, setting: Partial<Setting>, asked: number | null }[]} */
const CASES = [640e9, 200e9, 100e9].flatMap((fileSystem) => [
  { name: '64 nodes', setting: { fileSystem }, asked: 0.9 },
  { name: '64, one at 0.3', setting: { fileSystem, slow: 1 }, asked: 0.9 },
  { name: '64, one dies', setting: { fileSystem, deaths: 1 }, asked: 0.8 },
  { name: '300 nodes', setting: { fileSystem, ranks: 300 }, asked: null },
  { name: '300, three die', setting: { fileSystem, ranks: 300, deaths: 3 }, asked: 0.7 },
]);

/** Rules that differ from the design, each on top of those before. @type {[string, Partial<Setting>][]} */
const CHANGES = [
  ['as designed', {}],
  ['claims are listed, not tried one by one', { listing: true }],
  ['signs of life are watched at work too; two at a unit at most', { watches: true, mostAtOne: 2 }],
  ['looks at most 0.25 s apart', { pollTo: 0.25 }],
  ['what headers decide is prepared while the plan is made', { adoptSeconds: 0.4 }],
  ['a rank that is silent for 5 s is worked beside', { quiet: 5 }],
  ['beats tell the age of a unit; again from 1.5 medians', { tells: true, redo: 1.5 }],
];

/** One by one, on top of all changes. @type {[string, Partial<Setting>][]} */
const VARIANTS = [
  ['units of 256 MiB', { unitBytes: 2 ** 28 }],
  ['units of 512 MiB', { unitBytes: 2 ** 29 }],
  ['units of 4 GiB', { unitBytes: 2 ** 32 }],
  ['the next unit is opened while one is made', { openSeconds: 0 }],
  ['planning in 3 s', { planSeconds: 3 }],
  ['the planner dies', { deathOf: 'planner' }],
  ['the planner dies, as designed', { deathOf: 'planner', quiet: USUAL.quiet }],
  ['the finisher dies', { deathOf: 'finisher' }],
];

export default async function ranksSim() {
  for (const line of assumptions()) console.log(line);
  const changed = /** @type {Partial<Setting>} */ (Object.assign({}, ...CHANGES.map(([, change]) => change)));
  const designed = CASES.map(({ name, setting, asked }) => ({ protocol: 'as designed', name, asked, ...runs(setting) }));
  const improved = CASES.map(({ name, setting, asked }) => ({ protocol: 'changed', name, asked, ...runs({ ...setting, ...changed }) }));
  for (const [title, rows] of /** @type {const} */ ([
    ['as designed', designed],
    ['with all changes below', improved],
  ])) {
    console.log(`\n${title}`);
    table(rows.map(shown));
  }
  let setting = /** @type {Partial<Setting>} */ ({});
  const changes = CHANGES.map(([change, more]) => {
    setting = { ...setting, ...more };
    return { change, ...efficiencies(setting) };
  });
  const variants = VARIANTS.map(([change, more]) => ({ change, ...efficiencies({ ...changed, ...more }) }));
  console.log('\nefficiency (least of the seeds), each change on top of those before');
  table(changes);
  console.log('\nefficiency (least of the seeds), one by one on top of all of these');
  table(variants);
  return { seeds: SEEDS, assumptions: USUAL, changed, results: [...designed, ...improved], changes, variants };
}

/** @type {Map<string, ReturnType<typeof summed>>} */
const made = new Map();

/** @param {Partial<Setting>} setting */
function runs(setting) {
  const key = JSON.stringify(Object.entries(setting).sort());
  const known = made.get(key) ?? summed(setting);
  made.set(key, known);
  return known;
}

/** What the seeds come to. @param {Partial<Setting>} setting */
function summed(setting) {
  const outcomes = Array.from({ length: SEEDS }, (_, seed) => simulate(setting, seed));
  const seconds = outcomes.map((o) => o.seconds);
  const efficiency = outcomes.map((o) => o.ideal / o.seconds);
  return {
    fileSystem: { ...USUAL, ...setting }.fileSystem,
    bottleneck: outcomes.filter((o) => o.limit === 'nodes').length > SEEDS / 2 ? 'nodes' : 'file system',
    ideal: mean(outcomes.map((o) => o.ideal)),
    seconds: { mean: mean(seconds), least: Math.min(...seconds), most: Math.max(...seconds) },
    efficiency: { mean: mean(efficiency), least: Math.min(...efficiency) },
    moving: mean(outcomes.map((o) => o.moving)),
    beforeFirstByte: mean(outcomes.map((o) => o.toFirstByte)),
    flowing: mean(outcomes.map((o) => o.flowing)),
    finishing: mean(outcomes.map((o) => o.finishing)),
    again: mean(outcomes.map((o) => o.again)),
  };
}

/** @param {ReturnType<typeof runs> & { name: string, asked: number | null }} row */
function shown({ name, asked, fileSystem, bottleneck, ideal, seconds, efficiency, moving, beforeFirstByte, flowing, finishing, again }) {
  return {
    case: name,
    'GB/s': fileSystem / 1e9,
    's (range)': `${seconds.mean.toFixed(1)} (${seconds.least.toFixed(1)}-${seconds.most.toFixed(1)})`,
    'at best': ideal.toFixed(1),
    'efficiency (least)': `${efficiency.mean.toFixed(3)} (${efficiency.least.toFixed(3)})`,
    asked: asked ?? '-',
    bottleneck: `${bottleneck}, ${((100 * moving) / seconds.mean).toFixed(0)} %`,
    'first byte at': beforeFirstByte.toFixed(1),
    flowing: flowing.toFixed(1),
    'of that at best': moving.toFixed(1),
    finish: finishing.toFixed(1),
    'units again': again.toFixed(1),
  };
}

/** Of the cases that are hard. @param {Partial<Setting>} setting */
function efficiencies(setting) {
  return Object.fromEntries(
    CASES.filter(({ name }, i) => i < 3 || name === '300, three die').map((one) => {
      const { efficiency, fileSystem } = runs({ ...one.setting, ...setting });
      return [`${one.name}, ${fileSystem / 1e9}`, `${efficiency.mean.toFixed(3)} (${efficiency.least.toFixed(3)})`];
    }),
  );
}

/** @param {readonly number[]} values */
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function assumptions() {
  const { node, spread, slowness, bytes, members, fileBytes, unitBytes, startSeconds, planSeconds, adoptSeconds } = USUAL;
  const { claimSeconds, openSeconds, syncSeconds, finishSeconds, timeout, redo, pollFrom, pollTo } = USUAL;
  return [
    'Assumed (a simulation: nothing of it is measured)',
    `- work: ${bytes / 1e12} TB of output in files of ${fileBytes / 1e9} GB from ${members} checkpoints; units are cut at multiples of`,
    `  ${unitBytes / 2 ** 20} MiB of each file; a unit moves its bytes ${members} times in and once out, as one stream, and arithmetic is free`,
    `- rates: a node moves ${node / 1e9} GB/s, both ways together, even within ${100 * spread} %; the file system as said, both ways`,
    '  together; whoever moves bytes has the max-min fair share of it; a slow node has',
    `  ${slowness} of that rate and plans as fast as others`,
    `- ranks: one a node, start within ${startSeconds} s, evenly; the first plans for ${planSeconds} s, the others wait and adopt the plan in`,
    `  ${adoptSeconds} s; each takes the next unit that nobody has, from its own place on (rank x units / ranks) and around;`,
    `  a try at a claim costs ${1000 * claimSeconds} ms, a lost one too, and what a rank knows to be claimed it does not try`,
    `- a unit costs ${1000 * openSeconds} ms before its bytes flow (files, drained calls) and is journaled ${1000 * syncSeconds} ms after them, beside the`,
    '  next one; a rank at work finishes it, though another may have been faster',
    `- idle ranks look after ${1000 * pollFrom} ms and then twice as long, up to ${pollTo} s (again from ${1000 * pollFrom} ms where units were finished)`,
    `  and make a unit again that they have seen claimed for ${redo} times the median of their own units' times: the one`,
    `  with the fewest at it, then the oldest; what a rank is at that somebody has seen silent for ${timeout} s is taken over`,
    '  (counted from the first look after its death; only idle ranks look)',
    `- who first sees all units journaled finishes in ${finishSeconds} s`,
    '- dying ranks (1 %, rounded up) end without a word at an even time between the start and the end at best',
    `At best: planning by one process (${planSeconds} s), then all bytes at the rate of the file system or of all nodes together,`,
    'whichever is less; no start, adoption, claims, gaps or finish; nodes that die count whole.',
  ];
}
