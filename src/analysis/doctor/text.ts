import type { Colors } from '../../render/colors.ts';
import { plural, printable } from '../../render/format.ts';
import type { DoctorReport } from './doctor.ts';

/** One line a check, and under it what to do where something is wrong. */
export function doctorText({ checks }: DoctorReport, colors: Colors): string {
  const mark = { ok: colors.green('ok  '), warn: colors.yellow('warn'), fail: colors.red('fail') };
  const width = Math.max(...checks.map((check) => check.name.length));
  const lines = checks.flatMap(({ status, name, found, help }) => [
    `${mark[status]}  ${name.padEnd(width)}  ${printable(found)}`,
    ...(help === null ? [] : help.split('\n').map((line) => `${' '.repeat(width + 8)}${printable(line)}`)),
  ]);
  const [failed, warned] = (['fail', 'warn'] as const).map((status) => checks.filter((check) => check.status === status).length);
  const verdict =
    failed! > 0
      ? colors.red(`${plural(failed!, 'thing')} will make merges fail here`)
      : warned! > 0
        ? `merges work here; ${plural(warned!, 'thing')} could be better`
        : 'nothing is in the way';
  return `${[...lines, '', verdict].join('\n')}\n`;
}
