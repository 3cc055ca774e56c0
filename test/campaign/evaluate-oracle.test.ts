// biome-ignore-all lint/suspicious/noTemplateCurlyInString: texts for shells
import { execFile } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mapBounded } from '../../src/base/map-bounded.ts';
import { checkPlaceholders, fillPlaceholders } from '../../src/search/evaluate/placeholders.ts';

/**
 * A real shell is the judge: whatever place a placeholder has, the command is refused before it runs, or the
 * program gets exactly the value and nothing else has run. `show` prints its arguments into a file.
 */

const VALUES = [
  '/models/step 1000',
  `a'b"c`,
  '$(touch pwned)',
  '`touch pwned`',
  ';touch pwned;&touch pwned|touch pwned',
  'a\ntouch pwned\nb',
  '-rf',
  ' x  y\t* ? [a] ~ \\ \\n %s {a,b} \\',
  'a[$(touch pwned)]',
  `'; touch pwned; '"$(touch pwned)\`touch pwned\`" #`,
  `"; touch pwned; "'$(touch pwned)'`,
  'EOF\ntouch pwned\nEOF',
  'p\'+__import__("os").system("touch pwned")+\'é\u{1f600}',
  '$MERGE_MODEL ${IFS} $((1)) !!',
];

/** Places that arrive: the arguments that `show` gets. */
const ACCEPTED: readonly (readonly [command: string, args: (value: string) => readonly string[]])[] = [
  ['show {model}', (v) => [v]],
  ['show "{model}"', (v) => [v]],
  ["show '{model}'", (v) => [v]],
  ['show --model={model}', (v) => [`--model=${v}`]],
  ['show --model_args pretrained={model},dtype=bfloat16', (v) => ['--model_args', `pretrained=${v},dtype=bfloat16`]],
  ['show "model_name={model}" "gsm8k|0"', (v) => [`model_name=${v}`, 'gsm8k|0']],
  [`show '{"model": "{model}"}'`, (v) => [`{"model": "${v}"}`]],
  [`show "{\\"model\\": \\"{model}\\"}"`, (v) => [`{"model": "${v}"}`]],
  [`show 'it'"'"'s {model}'`, (v) => [`it's ${v}`]],
  ['show {model}/{model}', (v) => [`${v}/${v}`]],
  ['show "\\\\{model}"', (v) => [`\\${v}`]],
  ["show '\\{model}'", (v) => [`\\${v}`]],
  ['show \\\\{model}', (v) => [`\\${v}`]],
  ['show \\\' {model} \\" {model}', (v) => ["'", v, '"', v]],
  ['show {model} # and not {out}', (v) => [v]],
  ['show x #{model}', () => ['x']],
  ['cd . && show {model} > /dev/null 2>&1', (v) => [v]],
  ['show {model} | tail -1', (v) => [v]],
  ['FOO={model} show {model}', (v) => [v]],
  ['FOO={model} sh -c \'show "$FOO"\'', (v) => [v]],
  ['x={model}; show "$x"', (v) => [v]],
  ['x={model} y="$x/z"; show "${y}"', (v) => [`${v}/z`]],
  ['export X={model}; show "$X"', (v) => [v]],
  ['x=$(true {model}); show {model}', (v) => [v]],
  ['true "$(show {model})"', (v) => [v]],
  ['true "$(show "{model}" | tr a b)"', (v) => [v]],
  ['true $(show {model})', (v) => [v]],
  ['(show {model})', (v) => [v]],
  ['{ show {model}; }', (v) => [v]],
  ['if true; then show {model}; else show no; fi', (v) => [v]],
  ['for m in {model}; do show "$m"; done', (v) => [v]],
  ['for i in 1 2; do show {model} "$i"; done', (v) => [v, '1', v, '2']],
  ['i=0; while [ $i -lt 1 ]; do i=$((i+1)); show {model}; done', (v) => [v]],
  ['case {model} in *) show "{model}";; esac', (v) => [v]],
  ['case x in y|z) show no;; (x) show {model} ;; esac', (v) => [v]],
  ['f() { show {model}; }; f', (v) => [v]],
  ['f() { show "$1" "$@"; }; f {model}', (v) => [v, v]],
  ['set -- {model} b; show "$@"', (v) => [v, 'b']],
  ['set -e; show {model}', (v) => [v]],
  ['! show {model} || true', (v) => [v]],
  ['show {model} & wait', (v) => [v]],
  ['# a comment\nshow {model}', (v) => [v]],
  ['show \\\n  {model}', (v) => [v]],
  ['show {model} <<EOF\n$(true) it\'s "text\nEOF', (v) => [v]],
  ["cat > /dev/null <<-'E'\n\tit's `\n\tE\nshow {model}", (v) => [v]],
  ['sh -c \'show "$1"\' _ {model}', (v) => [v]],
  ['sh -c \'show "$@"\' _ {model} b', (v) => [v, 'b']],
  ['sh -ec \'show "$1"\' _ "{model}"', (v) => [v]],
  ['sh -c \'show "$MERGE_MODEL"\'; : {model}', (v) => [v]],
  ['sh ./show.sh {model}', (v) => [v]],
  ['sh -e ./show.sh {model}', (v) => [v]],
  ['env X={model} show {model}', (v) => [v]],
  ['nice show {model}', (v) => [v]],
  ['command show {model}', (v) => [v]],
  ['eval "$(echo true)"; show {model}', (v) => [v]],
  ['eval \'show "$MERGE_MODEL"\'; : {model}', (v) => [v]],
  ["trap 'true' EXIT; show {model}", (v) => [v]],
  ['x=show; $x {model}', (v) => [v]],
  ['"$MERGE_SHOW" {model}', (v) => [v]],
  ['printf "%s\\n" {model} > /dev/null; show {model}', (v) => [v]],
  ['[ -n "{model}" ] && test {model} != x && show {model}', (v) => [v]],
  ['show -c {model}', (v) => ['-c', v]],
  [`awk '{print} {print $1}' /dev/null; show {model}`, (v) => [v]],
  ['m={model}; show "${m##*/}" "${m}"', (v) => [v.slice(v.lastIndexOf('/') + 1), v]],
  ['show --quiet', (v) => ['--quiet', v]],
  ['show --quiet\n', (v) => ['--quiet', v]],
  ['show > /dev/null', (v) => [v]],
  ['true && show', (v) => [v]],
  ['x=1; show "$x" ${x%1} $? $# $(true)', (v) => ['1', '0', '0', v]],
];

/** Places that no quoting makes safe. */
const REFUSED = [
  'show `echo {model}`',
  'show "`echo {model}`"',
  'show {model} `x {model}`',
  'cat <<EOF\n{model}\nEOF',
  "cat <<'EOF'\n{model}\nEOF",
  'cat <<EOF | show {model}\n{model}\nEOF',
  'sh <<EOF\nshow {model}\nEOF',
  'eval show {model}',
  "eval 'show {model}'",
  'eval "show {model}"',
  'command eval show {model}',
  'x=\'show {model}\'; eval "$x"',
  'x={model}; eval "show $x"',
  'x={model}; y=$x; eval "show $y"',
  "x={model}; eval 'show $x'",
  'f() { eval "$1"; }; f {model}',
  'set -- {model}; eval "show $1"',
  'for m in {model}; do eval "show $m"; done',
  'echo {model} | while read -r m; do eval "show $m"; done',
  'x={model}; show $x',
  'x={model}; show a/${x}/b',
  'f() { show $1; }; f {model}',
  "sh -c 'show {model}'",
  'sh -c "show {model}"',
  'sh -c "show \'{model}\'"',
  "bash -lc 'show {model}'",
  "bash -o pipefail -c 'show {model}'",
  'sh -c {model}',
  'sh -c "$(echo show {model})"',
  "sh -c 'show $1' _ {model}",
  'sh -c \'eval "show $1"\' _ {model}',
  'sh -c \'sh -c "show $1"\' _ {model}',
  "sh -c 'show `echo $1`' _ {model}",
  "env sh -c 'show {model}'",
  "nice -n 3 bash -c 'show {model}'",
  "xargs -I% sh -c 'show {model} %'",
  "find . -exec sh -c 'show {model}' ';'",
  "timeout 5 sh -c 'show {model}'",
  "docker run x sh -c 'show {model}'",
  "srun --pty bash -c 'show {model}'",
  "/bin/sh -c 'show {model}'",
  "$SHELL -c 'show {model}'",
  '$SHELL -c {model}',
  "X='sh -c'; $X 'show {model}'",
  'X=eval; $X show {model}',
  'echo show {model} | sh',
  'echo show {model} | sh -s',
  'echo show {model} | (cat; bash)',
  'sh <<< "show {model}"',
  'echo {model} | xargs show',
  'echo show {model} > run.sh; sh run.sh',
  'echo show {model} > run.sh; . ./run.sh',
  'echo show {model} | tee run.sh; sh run.sh',
  'ssh host show {model}',
  "ssh host 'show {model}'",
  "su -c 'show {model}'",
  'make eval MODEL={model}',
  'watch show {model}',
  "env -S 'show {model}'",
  "sbatch --wrap='show {model}'",
  "sbatch --wrap 'show {model}'",
  "flock x -c 'show {model}'",
  'alias x={model}',
  "trap 'show {model}' EXIT",
  'python3 -c "print(\'{model}\')"',
  'python -c \'print("{model}")\' x',
  'python -W ignore -c \'print("{model}")\'',
  'perl -e \'system("show {model}")\'',
  'node -e \'f("{model}")\'',
  'echo \'print("{model}")\' | python3',
  'echo \'print("{model}")\' | python3 -',
  'awk \'BEGIN { system("show {model}") }\'',
  'awk -v x={model} x',
  'sed "s/x/{model}/" file',
  'sed s/x/{model}/ file',
  'show $(( {model} ))',
  'x=$(( {model} + 1 ))',
  'x={model}; show $((x))',
  'x={model}; show "$((x))"',
  'x={model}; show ${y:$x}',
  'x={model}; show ${x@P}',
  'x={model}; show ${!x}',
  'x={model}; show "${y[$x]}"',
  'show ${x:-{model}}',
  'show "${x:-{model}}"',
  'show {a,{model}}',
  'show {{model}}',
  'show {model}{1,2}',
  'show \\{model}',
  'show "\\{model}"',
  "show $'{model}'",
  'show $"{model}"',
  'case x in {model}) show;; esac',
  '{model} x',
  '"{model}" x',
  'BASH_ENV={model} bash -c true',
  'ENV={model} sh -c true',
  'PS4={model}; set -x; show x',
  'IFS={model}',
  '[[ {model} -eq 1 ]]',
  '[ -v {model} ]',
  '(( {model} ))',
  'let x={model}',
  'declare x={model}',
  'export {model}',
  'read {model}',
  'unset {model}',
  'unset "x[{model}]"',
  'printf -v x %s {model}; show $x',
  'cat <(show {model})',
  'x=({model}); show "${x[@]}"',
  'show "{model}',
  "show '{model}",
  'show "$(echo {model}"',
  'show {model} \\',
  'show;',
  'show &',
  'show |',
  'show && ',
  'show # quietly',
  'show \\',
  'show "x',
  '(show)',
  'if true; then show; fi',
  'cat <<EOF\nx\nEOF',
  'x=1',
  'ssh host show',
  'eval show',
];

/** What is put around a command, and what around the value in it. */
const AROUND = [
  '@',
  'true; @',
  '(@)',
  '{ @; }',
  'true | @',
  '@ | cat',
  'if @; then :; fi',
  ': "$(@)"',
  ': $(@)',
  ': `@`',
  ": '$(@)'",
  'f() { @; }; f',
  'x=$(@)',
  'eval "@"',
  "eval '@'",
  'sh -c "@"',
  "sh -c '@'",
  "sh -c 'true' @",
  'sh -c "$(echo "@")"',
  'echo "@" | sh',
  'echo @ | sh',
  'cat <<EOF\n@\nEOF',
  'sh <<EOF\n@\nEOF',
  ': <<EOF; @\n$(@)\nEOF',
  'nice sh -c "@"',
  'env -i PATH="$PATH" SHOW="$SHOW" sh -c \'@\'',
  "trap '@' EXIT",
  'case x in x) @;; esac',
  'for i in 1; do @; done',
  'x="@"; $x',
  'x=\'@\'; eval "$x"',
  ': # @',
  ': ${x:=@}',
  ': $((@))',
];
const WITHIN = [
  'show {model}',
  'show "{model}"',
  "show '{model}'",
  'show a{model}b',
  'show \\{model}',
  'show "$({model})"',
  'x={model}; show "$x"',
  'x={model}; show $x',
  'show `echo {model}`',
];

/** Those that are there, each once: sh is one of the others. */
const shells = [
  ...new Set(
    ['sh', 'bash', 'dash'].flatMap((name) => {
      const folder = (process.env.PATH ?? '').split(delimiter).find((folder) => folder !== '' && existsSync(join(folder, name)));
      return folder === undefined ? [] : [realpathSync(join(folder, name))];
    }),
  ),
];

const NAMES = ['model', 'out', 'trial', 'gpu'] as const;

/** The text that is run, or null where it is refused; `any` value may stand in it. */
function prepared(command: string): string | null {
  try {
    checkPlaceholders('--eval', command, NAMES, true);
  } catch (error) {
    expect(error).toMatchObject({ code: expect.stringMatching(/^E_(OPTION|USAGE)$/) });
    return null;
  }
  return fillPlaceholders(command, { model: 'never read', out: '/o', trial: '1', gpu: '' }, true) as string;
}

let tools = '';
beforeAll(() => {
  tools = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
  writeFileSync(join(tools, 'show'), '#!/bin/sh\n[ $# -gt 0 ] && printf "%s\\0" "$@" >> "$SHOW"\nexit 0\n');
  chmodSync(join(tools, 'show'), 0o755);
});

afterAll(() => rmSync(tools, { recursive: true, force: true }));

/** Runs a text in an empty folder. @returns the arguments of `show`, and what was made in the folder beside it */
async function run(shell: string, text: string, value: string): Promise<{ args: string[]; made: string[] }> {
  const folder = mkdtempSync(join(tools, 'run-'));
  writeFileSync(join(folder, 'show.sh'), 'show "$@"\n');
  const shown = join(tools, `${folder.slice(-6)}.shown`);
  const env = { ...process.env, PATH: `${tools}${delimiter}${process.env.PATH}`, SHOW: shown, MERGE_MODEL: value, MERGE_SHOW: 'show' };
  await new Promise<void>((resolve) => {
    const child = execFile(shell, ['-c', text], { cwd: folder, env, timeout: 10_000 }, () => resolve());
    child.stdin!.end();
  });
  const args = existsSync(shown) ? readFileSync(shown, 'utf8').split('\0').slice(0, -1) : [];
  const made = readdirSync(folder).filter((name) => name !== 'show.sh');
  rmSync(folder, { recursive: true });
  return { args, made };
}

const WORKERS = Math.max(2, availableParallelism());

describe(`what {model} is to ${shells.join(', ')}`, () => {
  it.each(ACCEPTED)('arrives as it is: %s', async (command, args) => {
    const text = prepared(command);
    expect(text, 'refused').not.toBeNull();
    for (const [n, shell] of shells.entries()) {
      // What the first took, others take unless they read the text itself in another way.
      const values = n === 0 ? VALUES : VALUES.slice(8, 11);
      const found = await mapBounded(values, WORKERS, (value) => run(shell, text!, value));
      for (const [i, value] of values.entries()) expect(found[i], `${shell}: ${value}`).toEqual({ args: args(value), made: [] });
    }
  });

  it.each(REFUSED)('is refused before anything runs: %s', (command) => {
    expect(prepared(command)).toBeNull();
  });

  it('is one or the other in every place of every other place', async () => {
    const cases = AROUND.flatMap((around) => [
      ...WITHIN.map((within) => around.replaceAll('@', within)),
      ...AROUND.flatMap((second) => WITHIN.slice(0, 3).map((within) => around.replaceAll('@', second.replaceAll('@', within)))),
    ]);
    const accepted = cases.flatMap((command) => {
      const text = prepared(command);
      return text === null ? [] : [{ command, text }];
    });
    // One value after the other would take minutes; those with all in one find the same.
    const jobs = accepted.map(({ command, text }, i) => ({ command, text, value: VALUES[i % 3 === 0 ? 5 : 9]! }));
    const wrong = await mapBounded(jobs, WORKERS, async ({ command, text, value }) => {
      const { args, made } = await run(shells[0]!, text, value);
      // A variable that was set in a subshell is empty behind it.
      const exact = args.every((arg) => [value, `a${value}b`, ''].includes(arg));
      // Where a comment or a single-quoted text keeps it from running, nothing is shown.
      return made.length === 0 && exact ? null : `${command} (${value}): ${JSON.stringify(args)} ${made.join(' ')}`;
    });
    expect(wrong.filter((line) => line !== null)).toEqual([]);
    console.info(`${cases.length} places: ${cases.length - accepted.length} refused, ${accepted.length} run`);
    expect(accepted.length).toBeGreaterThan(100);
  });
});
