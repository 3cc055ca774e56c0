import type { Colors } from '../../render/colors.ts';
import { formatBytes, formatTable, plural, printable } from '../../render/format.ts';
import { newestOf } from '../keep/script.ts';
import { replacementScript } from './script.ts';
import type { StripReport } from './types.ts';
import { unfinishedNotes } from './unfinished.ts';

/** Which saves have copies, what stays as it is, and how a copy takes the place of its save. */
export function stripText(report: StripReport, colors: Colors): string {
  const { copies, left, unfinished, frees, notes, schema, output } = report;
  const planned = schema === 'ckpt-merge/strip-plan';
  const missing = copies.filter(({ state }) => state === 'missing');
  const heads = ['step', 'save', 'copy', 'frees', ''];
  const rows = copies.map(({ step, bytes, copyBytes, copy, state, verified }) => [
    step === null ? '' : String(step),
    formatBytes(bytes),
    formatBytes(copyBytes),
    formatBytes(bytes - copyBytes),
    `${printable(copy)}${{ missing: '', there: ' (was there)', made: '' }[state]}${verified === null ? '' : `, ${CHECKED[verified]}`}`,
  ]);
  const losses = copies.filter(({ loses }) => loses.length > 0);
  const lossRows = losses.map(({ path, loses }) => [printable(path), loses.map((name) => printable(name)).join(', ')]);
  const leftRows = left.map(({ path, reason }) => [printable(path), printable(reason)]);
  const what = plural(copies.length, 'save');
  const head = planned
    ? `would copy the models of ${colors.bold(plural(missing.length, 'save'))} into ${printable(output)}; ${copies.length - missing.length} are there`
    : `${colors.green('copied')} the models of ${colors.bold(what)} into ${printable(output)}`;
  const lines = replacementScript(report, newestOf(report));
  return `${[
    copies.length === 0 ? 'no save has anything to strip' : head,
    ...(copies.length === 0
      ? []
      : ['', ...formatTable([heads, ...rows], ['right', 'right', 'right', 'right', 'left']).map((line) => `  ${line}`)]),
    ...(losses.length === 0
      ? []
      : [
          '',
          "goes with a save beside its trainer's state, as the copy has none of it",
          ...formatTable(lossRows, ['left', 'left']).map((line) => `  ${line}`),
        ]),
    ...(left.length === 0 ? [] : ['', 'as they are', ...formatTable(leftRows, ['left', 'left']).map((line) => `  ${line}`)]),
    ...(unfinished.length === 0 ? [] : ['', ...unfinishedNotes(unfinished).map((note) => `  ${printable(note)}`)]),
    ...(notes.length === 0 ? [] : ['', ...notes.map((note) => `  ${printable(note)}`)]),
    ...(copies.length === 0
      ? []
      : [
          '',
          planned
            ? `in the places of their saves they free ${formatBytes(frees)}`
            : `to put them in the places of their saves, which frees ${formatBytes(frees)} (no save was changed; training cannot go on from a copy):`,
        ]),
    ...(planned || lines.length === 0 ? [] : ['', ...lines]),
  ].join('\n')}\n`;
}

const CHECKED = { full: 'compared in full', sample: 'checksums right, a sample compared' } as const;
