// Draws docs/images/schedule-*.svg and writes the tables of weights in docs/schedules.md, from the schedules
// themselves. `--check` writes nothing and fails when a file is not what would be written. Needs dist/ (npm
// run build). The colours are mid-tones without a background, so that the pictures read on white and on dark
// pages alike.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL, URL } from 'node:url';

const docs = (name) => fileURLToPath(new URL(`../docs/${name}`, import.meta.url));
const INK = '#737f8d';
const COLOURS = { positive: '#3b82f6', negative: '#e8590c' };
const PANEL = { width: 190, left: 40, top: 30, bottom: 150, bar: 12, pitch: 16 };
const WEIGHT = { from: -0.1, to: 0.4, ticks: [-0.1, 0, 0.1, 0.2, 0.3, 0.4] };

const EVEN = Array.from({ length: 10 }, (_, i) => 1000 * (i + 1));
const HOLE = EVEN.map((step) => (step > 6000 ? step + 4000 : step));
const LR_CURVE = { method: 'lr-curve', lrCurve: docs('images/schedule-lr-curve.csv') };

/** Ten members, 1,000 steps apart unless said otherwise: file, and a panel each [title, request, steps]. */
const PICTURES = {
  sma: [['sma', { method: 'sma' }]],
  wma: [['wma', { method: 'wma' }]],
  ema: [
    ['ema, alpha 0.1', { method: 'ema', alpha: 0.1 }],
    ['ema, alpha 0.2', { method: 'ema', alpha: 0.2 }],
    ['ema, half-life 2ckpt', { method: 'ema', halfLife: '2ckpt' }],
    ['ema, half-life-fraction 0.2', { method: 'ema', halfLifeFraction: 0.2 }],
  ],
  'ema-normalized': [
    ['ema-normalized, alpha 0.1', { method: 'ema-normalized', alpha: 0.1 }],
    ['ema-normalized, alpha 0.2', { method: 'ema-normalized', alpha: 0.2 }],
  ],
  wsm: [
    ['wsm, linear', { method: 'wsm', decay: 'linear' }],
    ['wsm, cosine', { method: 'wsm', decay: 'cosine' }],
    ['wsm, 1-sqrt', { method: 'wsm', decay: '1-sqrt' }],
    ['wsm, linear, with a hole', { method: 'wsm', decay: 'linear' }, HOLE],
  ],
  'lr-curve': [['lr-curve, level then linear', LR_CURVE]],
  extrapolate: [['extrapolate, gamma 0.5', { method: 'extrapolate', gamma: 0.5, window: 5, lag: 5 }]],
};

/** What positions do: five members, the last after a hole of five spacings. */
const UNEVEN = [
  ['sma', { method: 'sma' }],
  ['ema, half-life 20', { method: 'ema', halfLife: 20 }],
  ['ema, alpha 0.2', { method: 'ema', alpha: 0.2 }],
  ['wsm, linear', { method: 'wsm', decay: 'linear' }],
  ['wsm, cosine', { method: 'wsm', decay: 'cosine' }],
  ['wsm, 1-sqrt', { method: 'wsm', decay: '1-sqrt' }],
];
const UNEVEN_STEPS = [0, 10, 20, 30, 80];

/**
 * Every file that this script writes: its name under docs/, and its text.
 * @param resolveWeights of src/recipe/schedule/resolve.ts
 */
export async function files(resolveWeights) {
  const weigh = async ([title, request, steps = EVEN]) => {
    const members = steps.map((step) => ({ path: `checkpoint-${step}`, step, tokens: null }));
    const log = [0, 20_000].map((step) => ({ step, learningRate: 0.003, loss: null }));
    return { title, weights: [...(await resolveWeights(members, request, { log })).weights] };
  };
  const panels = await Promise.all(Object.entries(PICTURES).map(async ([name, rows]) => [name, await Promise.all(rows.map(weigh))]));
  const uneven = await Promise.all(UNEVEN.map(([title, request]) => weigh([title, request, UNEVEN_STEPS])));
  let page = readFileSync(docs('schedules.md'), 'utf8');
  page = withTable(
    page,
    'even',
    table(
      ['weights', ...EVEN.map((_, i) => String(i + 1))],
      panels.flatMap(([, rows]) => rows),
    ),
  );
  page = withTable(page, 'uneven', table(['weights', ...UNEVEN_STEPS.map((step) => `step ${step}`)], uneven, 4));
  return { ...Object.fromEntries(panels.map(([name, rows]) => [`images/schedule-${name}.svg`, picture(rows)])), 'schedules.md': page };
}

function table(head, rows, digits = 3) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [
    line(head),
    line(head.map((_, i) => (i === 0 ? '---' : '--:'))),
    ...rows.map(({ title, weights }) => line([title, ...weights.map((w) => w.toFixed(digits).replace('0.', '.').replace('-', '−'))])),
  ].join('\n');
}

/** The page with what stands between the markers of a table replaced. */
function withTable(page, name, text) {
  const [begin, end] = [`<!-- table ${name}: written by scripts/schedule-pictures.js -->\n`, `\n<!-- end of table ${name} -->`];
  const [before, ...rest] = page.split(begin);
  const after = rest.join(begin).split(end).slice(1).join(end);
  if (rest.length !== 1 || after === '') throw new Error(`docs/schedules.md has no table ${name} to write`);
  return `${before}${begin}\n${text}\n${end}${after}`;
}

function picture(panels) {
  const width = PANEL.left + panels.length * PANEL.width;
  const names = panels.map(({ title, weights }) => `${title}: ${weights.map((w) => w.toFixed(3)).join(', ')}`).join('; ');
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="180" viewBox="0 0 ${width} 180" font-family="system-ui, sans-serif" font-size="11" role="img" aria-labelledby="title">`,
    `<title id="title">Weights of ten checkpoints, oldest to newest. ${names}</title>`,
    ...WEIGHT.ticks.map((tick) => text(tick.toFixed(1).replace('-', '−'), PANEL.left - 6, y(tick) + 4, 'end')),
    ...panels.flatMap((panel, p) => drawPanel(panel, PANEL.left + p * PANEL.width)),
    '</svg>',
  ].join('\n')}\n`;
}

function drawPanel({ title, weights }, left) {
  const right = left + PANEL.width - 24;
  const x = (i) => left + 4 + i * PANEL.pitch;
  return [
    text(title, left, 16, 'start', 'bold'),
    ...WEIGHT.ticks.map((tick) => `<path d="M${left} ${y(tick)}H${right}" stroke="${INK}" stroke-opacity="${tick === 0 ? 0.9 : 0.2}"/>`),
    ...weights.map((w, i) => {
      const colour = w < 0 ? COLOURS.negative : COLOURS.positive;
      return `<rect x="${x(i)}" y="${y(Math.max(w, 0))}" width="${PANEL.bar}" height="${round(Math.abs(y(w) - y(0)))}" fill="${colour}"/>`;
    }),
    text('oldest', left + 2, PANEL.bottom + 18, 'start'),
    text('newest', right, PANEL.bottom + 18, 'end'),
  ];
}

function text(content, x, at, anchor, weight = 'normal') {
  return `<text x="${x}" y="${at}" text-anchor="${anchor}" fill="${INK}" font-weight="${weight}">${content}</text>`;
}

function y(weight) {
  return round(PANEL.bottom - ((weight - WEIGHT.from) / (WEIGHT.to - WEIGHT.from)) * (PANEL.bottom - PANEL.top));
}

function round(value) {
  return Math.round(value * 10) / 10;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { resolveWeights } = await import('../dist/recipe/schedule/resolve.js');
  for (const [name, content] of Object.entries(await files(resolveWeights))) {
    if (!process.argv.includes('--check')) writeFileSync(docs(name), content);
    else if (readOr(docs(name)) !== content) {
      console.error(`docs/${name} is out of date: run \`npm run docs\``);
      process.exitCode = 1;
    }
  }
}

function readOr(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
