// Draws demo/merging.svg from demo/make/results.json: held-out loss of the dense run against training step.
// The colours are mid-tones without a background, so that the picture reads on white and on dark pages alike.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const path = (name) => fileURLToPath(new URL(`../demo/${name}`, import.meta.url));
const WIDTH = 820;
const HEIGHT = 430;
const PLOT = { left: 64, right: 632, top: 58, bottom: 372 };
const STEPS = { from: 1200, to: 6000, ticks: [2000, 3000, 4000, 5000, 6000] };
const LOSS = { from: 1.06, to: 1.55, ticks: [1.1, 1.2, 1.3, 1.4, 1.5] };
const INK = '#737f8d';
const COLOURS = { single: '#3b82f6', merged: '#e8590c', annealed: '#2f9e44' };

const x = (step) => PLOT.left + ((step - STEPS.from) / (STEPS.to - STEPS.from)) * (PLOT.right - PLOT.left);
const y = (loss) => PLOT.bottom - ((loss - LOSS.from) / (LOSS.to - LOSS.from)) * (PLOT.bottom - PLOT.top);
const round = (value) => Math.round(value * 10) / 10;

/** [step, loss] pairs inside the plot, by step. */
function points(bySteps) {
  return Object.entries(bySteps)
    .map(([step, loss]) => [Number(step), loss])
    .filter(([step]) => step >= STEPS.from && step <= STEPS.to)
    .sort((a, b) => a[0] - b[0]);
}

function line(series, colour, extra = '') {
  const d = series.map(([step, loss], i) => `${i === 0 ? 'M' : 'L'}${round(x(step))} ${round(y(loss))}`).join('');
  return `<path d="${d}" fill="none" stroke="${colour}" stroke-width="2.5" stroke-linejoin="round" ${extra}/>`;
}

function dots(series, colour, radius) {
  return series.map(([step, loss]) => `<circle cx="${round(x(step))}" cy="${round(y(loss))}" r="${radius}" fill="${colour}"/>`).join('');
}

function text(content, at, { colour = INK, size = 13, anchor = 'start', weight = 'normal' } = {}) {
  const place = `x="${round(at[0])}" y="${round(at[1])}" text-anchor="${anchor}"`;
  return `<text ${place} fill="${colour}" font-size="${size}" font-weight="${weight}">${content}</text>`;
}

function axes() {
  const rules = LOSS.ticks.map(
    (loss) =>
      `<path d="M${PLOT.left} ${round(y(loss))}H${PLOT.right}" stroke="${INK}" stroke-opacity="0.25"/>` +
      text(loss.toFixed(1), [PLOT.left - 10, y(loss) + 4], { anchor: 'end' }),
  );
  const steps = STEPS.ticks.map((step) => text(step.toLocaleString('en'), [x(step), PLOT.bottom + 22], { anchor: 'middle' }));
  return [
    ...rules,
    ...steps,
    text('training step (constant learning rate)', [(PLOT.left + PLOT.right) / 2, PLOT.bottom + 46], { anchor: 'middle' }),
    text('held-out loss, nats per byte', [PLOT.left - 36, PLOT.top - 16]),
  ];
}

/**
 * The label of a line, beside its last point (moved by `shift` to keep clear of the next) and in its colour:
 * its name, and the value with a remark below.
 */
function label(series, colour, name, below, shift = 0) {
  const [, loss] = series.at(-1);
  const at = [PLOT.right + 14, y(loss) + 4 + shift];
  return text(name, at, { colour, weight: 'bold' }) + text(`${loss.toFixed(3)}, ${below}`, [at[0], at[1] + 17], { size: 12 });
}

const { models } = JSON.parse(readFileSync(path('make/results.json'), 'utf8'));
const run = models.dense.seeds[0];
const single = points(run.single);
const merged = points(run.trailing);
const annealed = [single.find(([step]) => step === 5000), ...points(run.annealed.by_step)];
const svg = [
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" role="img" aria-labelledby="title">`,
  `<title id="title">Held-out loss against training step: single checkpoints end at ${single.at(-1)[1].toFixed(3)}, the mean of the last six at ${merged.at(-1)[1].toFixed(3)}, an annealed run at ${annealed.at(-1)[1].toFixed(3)}</title>`,
  text('Merging the last checkpoints of a training run', [PLOT.left - 36, 22], { size: 16, weight: 'bold' }),
  ...axes(),
  line(single, COLOURS.single, 'stroke-opacity="0.45"'),
  dots(single, COLOURS.single, 3.5),
  line(annealed, COLOURS.annealed, 'stroke-dasharray="6 4"'),
  dots(annealed.slice(-1), COLOURS.annealed, 4.5),
  line(merged, COLOURS.merged),
  dots(merged.slice(-1), COLOURS.merged, 4.5),
  text('early on, six are still too far apart', [x(1260) + 10, y(1.51)], { size: 12 }),
  label(single, COLOURS.single, 'checkpoint', 'as it was saved'),
  label(merged, COLOURS.merged, 'mean of last 6', 'no further training', -8),
  label(annealed, COLOURS.annealed, 'annealed', '1,000 steps of decay', 17),
  '</svg>',
];
writeFileSync(path('merging.svg'), `${svg.join('\n')}\n`);
