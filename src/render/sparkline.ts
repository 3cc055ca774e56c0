const EIGHTHS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const;
/** Values of what has more are put together. */
const WIDEST = 16;

/**
 * Numbers as a row of blocks, the largest as a whole one; of many, neighbours put together. Nothing is as low as what
 * is below zero.
 */
export function sparkline(values: readonly number[]): string {
  const width = Math.min(values.length, WIDEST);
  const means = Array.from({ length: width }, (_, i) => {
    const part = values.slice(Math.floor((i * values.length) / width), Math.floor(((i + 1) * values.length) / width));
    return part.reduce((sum, value) => sum + value, 0) / part.length;
  });
  const top = Math.max(...means);
  return means.map((value) => EIGHTHS[top > 0 ? Math.max(0, Math.round((value / top) * 8) - 1) : 0]).join('');
}
