/** What an evaluator says of a model. */
export interface Score {
  readonly score: number;
  /** Standard error of the score; null where it is not said. */
  readonly stderr: number | null;
  /** Scores of single items (documents, blocks of text), by which two models can be compared item by item; null where there are none. */
  readonly items: readonly number[] | null;
}

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

/**
 * The score in what an evaluator printed: its last line that is a number, or a JSON object with a `score`, and if it likes `stderr` and `items`.
 * @returns null where there is no such line
 */
export function readScore(output: string): Score | null {
  const lines = output.split(/\r?\n/);
  for (let i = lines.length - 1; i >= 0; i--) {
    const found = scoreOfLine(lines[i]!.trim());
    if (found !== null) return found;
  }
  return null;
}

function scoreOfLine(line: string): Score | null {
  if (NUMBER.test(line)) return finite(Number(line)) ? { score: Number(line), stderr: null, items: null } : null;
  if (!line.startsWith('{')) return null;
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return null;
  }
  const { score, stderr, items } = json;
  if (!finite(score)) return null;
  return {
    score,
    stderr: finite(stderr) && stderr >= 0 ? stderr : null,
    items: Array.isArray(items) && items.length > 0 && items.every(finite) ? items : null,
  };
}

function finite(value: unknown): value is number {
  return Number.isFinite(value);
}
