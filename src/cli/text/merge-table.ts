import { formatCount, formatTable, printable } from '../format.ts';

interface Row {
  readonly path: string;
  readonly step: number | null;
  readonly tokens: number | null;
  readonly weight: number;
}

/** Members with their steps, tokens where any has them, and effective weights; two spaces in. */
export function memberTable(members: readonly Row[]): string[] {
  const tokens = members.some((m) => m.tokens !== null);
  const columns = (step: string, token: string, weight: string, path: string) => [step, ...(tokens ? [token] : []), weight, path];
  const known = (n: number | null) => (n === null ? '-' : formatCount(n));
  const rows = [
    columns('step', 'tokens', 'weight', 'checkpoint'),
    ...members.map((m) => columns(known(m.step), known(m.tokens), String(m.weight), printable(m.path))),
  ];
  const align = columns('right', 'right', 'right', 'left') as ('left' | 'right')[];
  return formatTable(rows, align).map((line) => `  ${line}`);
}
