import { basename, dirname, join } from 'node:path';
import { shellQuote } from '../../base/process/shell-quote.ts';
import { PROVENANCE_FILE } from '../../checkpoints/our-files.ts';
import { asideOf } from '../../checkpoints/run/set-aside.ts';
import { printable } from '../../render/format.ts';
import { LOOK_LINES } from '../keep/look-of.ts';
import { checkLines, operand } from '../keep/script.ts';
import type { StrippedSave, StripReport, UnfinishedSave } from './types.ts';

/** Where a copy goes: to its save, or beside a file of another name. */
export function placeOfCopy({ path, copy }: Pick<StrippedSave, 'path' | 'copy'>): string {
  return join(dirname(path), basename(copy));
}

const WITHIN = `    mv -- "$2" "$3" || return`;
/** From another file system nothing is moved in one piece: what lies there under its name is whole. */
const ACROSS = `    rm -rf -- "$4.new" && cp -R -p -- "$2" "$4.new" && mv -- "$4.new" "$3" || return`;

const WITHIN_DONE = `  is_there "$2" && return 1`;
const ACROSS_DONE = `  if is_there "$2"; then
    if [ -d "$2" ]; then cmp -s -- "$2/${PROVENANCE_FILE}" "$3/${PROVENANCE_FILE}"; else cmp -s -- "$2" "$3"; fi || return
    mv -- "$2" "$2.placed" || return
  fi
  rm -rf -- "$2.placed"`;

/**
 * The script of a shell that puts each copy that was compared in the place of its save. At every moment the model is
 * there once at least. It goes on where it was cut short, does nothing twice, and leaves a save that changed since it
 * was copied, and whatever else lies in the way. Empty without such copies.
 */
export function replacementScript(
  { copies, elsewhere, unfinished }: Pick<StripReport, 'copies' | 'elsewhere' | 'unfinished'>,
  newest: string | null,
): string[] {
  const lines = [
    ...unfinished.flatMap((save) => unfinishedLine(save)),
    ...copies.flatMap((save) => (save.verified === null ? [] : [...lossLines(save), replacementLine(save)])),
  ];
  if (lines.length === 0) return [];
  return `# Puts copies in the places of their saves. Run it again where it was cut short; nothing is done twice.
${checkLines(newest).join('\n')}
${LOOK_LINES.join('\n')}
# FOLDER or file: its bytes, as they were counted when it was compared.
bytes_of() {
  if [ -d "$1" ]; then (cd -- "$1/" && find . -type f -exec ls -lnd {} +); else ls -lnd -- "$1"; fi | awk '{ n += $5 } END { printf "%.0f", n }'
}
# SAVE COPY PLACE ASIDE STEP BYTES LOOK: the save is set aside, the copy moved to its place, and what was set aside removed.
replace() {
  if ! is_there "$4"; then
    is_there "$2" || return 0
    is_there "$1" || no 'it is not there: its copy waits' || return
    if [ -d "$1" ]; then [ ! -e "$1/${PROVENANCE_FILE}" ] || no 'it is a copy already' || return; fi
    [ "$1" = "$3" ] || ! is_there "$3" || no "$3 lies in the way" || return
    [ "$(look_of "$1")" = "$7" ] || no 'it is not what was copied: other files, sizes or times' || return
    changed=$(find "$1" -newer "$2" | head -n 1) && [ -z "$changed" ] || no 'it changed since it was copied' || return
    [ "$(bytes_of "$2")" = "$6" ] || no "$2 has other bytes than when it was compared" || return
    as_it_was "$1" "$5" || return
    mv -- "$1" "$4" || return
  fi
  if ! is_there "$3"; then
    if ! is_there "$2" || [ "$(bytes_of "$2")" != "$6" ]; then
      is_there "$1" || mv -- "$4" "$1" || return
      no "$2 is gone or has other bytes: what was set aside is back" || return
    fi
${elsewhere ? ACROSS : WITHIN}
  fi
  if [ -d "$3" ]; then [ -e "$3/${PROVENANCE_FILE}" ] || return; fi
${elsewhere ? ACROSS_DONE : WITHIN_DONE}
  rm -rf -- "$4"
}
put() { replace "$@" || leave "$1"; }
# ASIDE SAVE: what was set aside, and has no copy, is the save again.
back() {
  is_there "$1" || return 0
  if is_there "$2"; then why='something is there again'; else mv -- "$1" "$2" && return; fi
  leave "$1"
}
${lines.join('\n')}
[ "$left" = 0 ]`.split('\n');
}

/** A comment of what goes with the save beside its trainer's state. */
function lossLines({ path, loses }: StrippedSave): string[] {
  return loses.length === 0 ? [] : [`# of ${printable(path)} also removed: ${loses.map((name) => printable(name)).join(', ')}`];
}

function replacementLine(save: Pick<StrippedSave, 'path' | 'copy' | 'step' | 'copyBytes' | 'look'>): string {
  const paths = [save.path, save.copy, placeOfCopy(save), asideOf(save.path)].map(operand);
  return ['put', ...paths, save.step === null ? 'none' : String(save.step), save.copyBytes, shellQuote(save.look)].join(' ');
}

function unfinishedLine(save: UnfinishedSave): string[] {
  if (save.end === 'leave') return [];
  if (save.end === 'restore') return [['back', operand(save.aside), operand(save.path)].join(' ')];
  // What is set aside is not looked at again: it was compared.
  return [replacementLine({ ...save, look: '' })];
}
