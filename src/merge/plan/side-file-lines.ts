import { plural, printable } from '../../render/format.ts';
import type { PlanDocument } from './document.ts';

/** Names of one kind that are shown; `--json` has all. */
const SHOWN = 12;

/** Reasons of files that would be mistaken for the merge's. */
const ABOUT_OTHERS = /^(training state|says how far training was|results of an evaluation|checksums of other files)$/;

/** What of the newest member comes along, as lines of a plan: files, code, and links that are left. */
export function sideFileLines({
  sideFiles,
  left,
  purpose,
}: Pick<PlanDocument['outputs'][number], 'sideFiles' | 'left' | 'purpose'>): string[] {
  const [code, made] = [sideFiles.filter((file) => file.code), sideFiles.filter((file) => file.made)];
  const others = sideFiles.filter((file) => !file.code && !file.made);
  const links = left.filter(({ leadsTo }) => leadsTo !== null);
  const outdated = left.filter((file) => file.outdated);
  // Of a merge that training goes on from each is asked for.
  const isTold = (name: string, reason: string) => /\.jsonl?$/.test(name) || (purpose === 'resume' && reason === 'training state');
  const told = left.filter(({ name, reason }) => ABOUT_OTHERS.test(reason) && isTold(name, reason));
  return [
    ...(made.length === 0 ? [] : [`  writes ${named(made)}`]),
    ...(others.length === 0 ? [] : [`  copies ${named(others)}`]),
    ...(code.length === 0 ? [] : [`  custom code, copied and not run: ${named(code)}`]),
    ...(outdated.length === 0 ? [] : [`  left out: ${named(outdated)}: ${outdated[0]!.reason}`]),
    ...(told.length === 0 ? [] : [`  leaves behind ${named(told.map(({ name, reason }) => ({ name: `${name} (${reason})` })))}`]),
    ...links.slice(0, SHOWN).map(({ name, leadsTo, reason }) => `  left out: ${printable(name)}: ${reason}, to ${printable(leadsTo!)}`),
    ...(links.length > SHOWN ? [`  left out: ${plural(links.length - SHOWN, 'more link')}, all of them with --json`] : []),
  ];
}

function named(files: readonly { readonly name: string }[]): string {
  const names = files.slice(0, SHOWN).map(({ name }) => printable(name));
  const more = files.length - names.length;
  return `${names.join(', ')}${more > 0 ? ` and ${plural(more, 'more file')}` : ''}`;
}
