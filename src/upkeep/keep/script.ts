import { join } from 'node:path';
import { mapBounded } from '../../base/map-bounded.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';
import { storeOf } from '../../base/store/store.ts';
import { TRACKERS } from '../../checkpoints/run/tracker.ts';
import type { KeepReport, KeptSave } from './keep.ts';
import { LOOK_LINES, lookOf } from './look-of.ts';

/** What a line of a script is about. */
export interface ListedSave extends Pick<KeptSave, 'path' | 'step'> {
  /** What it looks like as the list is made, see `lookOf`. */
  readonly look: string;
}

/** A path as an argument: no option of a command, whatever it is called, and with its folder before it. */
export function operand(path: string): string {
  return shellQuote(path.startsWith('-') || !path.includes('/') ? `./${path}` : path);
}

/** A save as the functions of {@link checkLines} take it. */
function saveWords({ path, step, look }: ListedSave): string {
  return `${operand(path)} ${step === null ? 'none' : String(step)} ${shellQuote(look)}`;
}

/**
 * Saves as they are now, and those of the run that an earlier list was deleting when it was cut short: hidden, they are in
 * no plan. One that is gone by now looks like nothing that may come.
 */
export async function listedSaves(run: string, saves: readonly Pick<KeptSave, 'path' | 'step'>[]): Promise<ListedSave[]> {
  const found = await mapBounded(saves, LOOKED_AT_ONCE, async ({ path, step }) => ({
    path,
    step,
    look: await lookOf(path).catch(() => GONE),
  }));
  const names = ((await storeOf(run).list(run)) ?? []).flatMap(({ name }) => /^\.(.+)\.going$/s.exec(name)?.[1] ?? []);
  return [...names.map((name) => ({ path: join(run, name), step: null, look: GONE })), ...found];
}

const GONE = 'gone';
const LOOKED_AT_ONCE = 8;

/** The save that training goes on from: what it is when a list is made has to be there when the list is used. */
export function newestOf({ keep }: Pick<KeepReport, 'keep'>): string | null {
  return (keep.findLast(({ held }) => held.includes(NEWEST)) ?? keep.at(-1))?.path ?? null;
}

/** Why the newest save with the state of an optimizer stays. */
export const NEWEST = 'the newest to resume from';

/**
 * Functions of a shell that look, when a line is run, whether what it was written for still holds: a run goes on, and may
 * go back. `as_it_was SAVE STEP` fails, with the reason in `$why`, where the newest save is gone, the save changed since
 * the script was written, or a tracker or a link names it now.
 * @param newest see {@link newestOf}
 */
export function checkLines(newest: string | null): string[] {
  const edge = '[!0-9A-Za-z_.-]';
  return `left=0 why=
# This list, where it is a file: what is newer changed since.
list=$0
[ -f "$list" ] || list=./\${0##*/}
grep -qs '^as_it_was() {' "$list" || list=
newest=${newest === null ? '.' : operand(newest)}
is_there() { [ -e "$1" ] || [ -L "$1" ]; }
no() { why=$1; return 1; }
leave() { left=1; printf 'left as it is: %s%s\\n' "$1" "\${why:+ ($why)}" >&2; why=; }
# SAVE STEP: whether it and what speaks of it are as they were when this list was made.
as_it_was() {
  is_there "$newest" || no "$newest is gone, which was the newest to resume from: make this list anew" || return
  [ -z "$list" ] || [ -z "$(find "$1" -newer "$list" 2>/dev/null | head -n 1)" ] || no 'it changed since this list was made' || return
  for entry in "\${1%/*}"/*; do
    if [ -L "$entry" ]; then
      said=$(readlink "$entry")
    else
      case \${entry##*/} in
        ${[...TRACKERS].map((name) => shellQuote(name)).join(' | ')}) said=$(cat "$entry") ;;
        *) continue ;;
      esac
    fi
    case " $said " in
      *${edge}"\${1##*/}"${edge}* | *${edge}"$2"${edge}*) no "\${entry##*/} names it now" || return ;;
    esac
  done
}`.split('\n');
}

/** Hidden first: a removal that is cut short leaves no half of a save, and is gone on with. */
const DROP = `drop() {
  going="\${1%/*}/.\${1##*/}.going"
  if is_there "$1"; then
    {
      { [ "$(look_of "$1")" = "$3" ] || no 'it is not what it was when this list was made: other files, sizes or times'; } &&
        as_it_was "$1" "$2" && rm -rf -- "$going" && mv -- "$1" "$going"
    } || { leave "$1"; return; }
  fi
  rm -rf -- "$going" || leave "$1"
}`.split('\n');

/** The script of a shell that deletes saves, each where it is as it was. Empty without any. */
export function deletionScript(saves: readonly ListedSave[], newest: string | null): string[] {
  if (saves.length === 0) return [];
  return [...checkLines(newest), ...LOOK_LINES, ...DROP, ...saves.map((save) => `drop ${saveWords(save)}`), '[ "$left" = 0 ]'];
}
