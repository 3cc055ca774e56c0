import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { checkPlaceholders, fillPlaceholders } from '../../../src/search/evaluate/placeholders.ts';
import { mergeError } from '../../support/safetensors.ts';

const MODEL = `/tmp/a "model's" $(folder) \`x\` \\ {out}`;
const values = { model: MODEL, out: '/tmp/out', trial: '7', gpu: '' };

/** The words that a real shell makes of a command: `show` in it prints its arguments. */
function words(command: string): string[] {
  const filled = fillPlaceholders(command.replaceAll('show', `printf '%s\\0'`), values, true) as string;
  const env = { ...process.env, MERGE_MODEL: MODEL, MERGE_OUT: '/tmp/out', MERGE_TRIAL: '7', MERGE_GPU: '' };
  return execFileSync('sh', ['-c', filled], { encoding: 'utf8', env }).split('\0').slice(0, -1);
}

describe('placeholders', () => {
  it.each([
    ['show {model} {trial}', [MODEL, '7']],
    ['show --model={model},x', [`--model=${MODEL},x`]],
    [`show "{model}" "x {model}/y"`, [MODEL, `x ${MODEL}/y`]],
    [`show '{model}' 'it'"'"'s {model}'`, [MODEL, `it's ${MODEL}`]],
    ['(show {model})', [MODEL]],
    ['x="$(show {model} "{trial}" | tr "\\0" "|")"; show "$x"', [`${MODEL}|7|`]],
    ['case {model} in *folder*) show "{model}";; esac', [MODEL]],
    ['show \\\' {model} \\" {model}', ["'", MODEL, '"', MODEL]],
  ])('arrive as they are, in quotes and outside: %s', (command, expected) => {
    expect(words(command)).toEqual(expected);
  });

  it('append the model where it is written nowhere, by name or as a variable', () => {
    expect(words('show --quiet')).toEqual(['--quiet', MODEL]);
    expect(fillPlaceholders('eval.sh "$MERGE_MODEL" | tail -1', values, true)).toBe('eval.sh "$MERGE_MODEL" | tail -1');
    expect(fillPlaceholders('eval.sh {out}', values, false)).toBe(`eval.sh "\${MERGE_OUT}"`);
  });

  it('leave braces of the shell, of JSON and of awk alone', () => {
    const command = `\${model} \${out} '{"model": 1}' {"a":1} awk '{ print } {print}' {} {a,b} echo "{print}"`;
    expect(() => checkPlaceholders('--eval', command, ['model', 'out', 'trial', 'gpu'])).not.toThrow();
    expect(fillPlaceholders(command, values, false)).toBe(command);
  });

  it('are filled in word by word where there is no shell', () => {
    expect(fillPlaceholders(['eval', '--model={model}', '{trial}', '{print}'], values, true)).toEqual([
      'eval',
      `--model=${MODEL}`,
      '7',
      '{print}',
    ]);
    expect(fillPlaceholders(['eval', '$MERGE_MODEL'], values, true)).toEqual(['eval', '$MERGE_MODEL', MODEL]);
  });

  it.each([
    ['eval {modle}', /\{modle\}.*nothing/, /Did you mean \{model\}\? .*\{model\}, \{out\}/],
    ['eval --to={output}/x', /\{output\}/, /There are \{model\}, \{out\}/],
    ['x=$(eval {Trial})', /\{Trial\}/, /\{trial\}/],
    ['eval {server}', /\{server\}/, /\{gpu\}/],
    [['eval', '{mode}'], /\{mode\}/, /\{model\}/],
  ])('that are misspelt are refused: %j', async (command, message, help) => {
    const error = await mergeError(() => checkPlaceholders('--eval', command, ['model', 'out', 'trial', 'gpu']));
    expect(error).toMatchObject({ code: 'E_USAGE', message: expect.stringMatching(message), help: expect.stringMatching(help) });
  });

  it.each([
    [`ssh host 'python e.py {model}'`, `printf '%s\\n' "$MERGE_MODEL" | ssh HOST 'IFS= read -r model; python eval.py "$model"'`],
    ['x=$(python e.py {model}); echo $x', 'Write "$x", in double quotes'],
    [`python3 -c "print('{model}')"`, 'os.environ["MERGE_MODEL"]'],
    ['sh <<EOF\npython e.py {model}\nEOF', `begin it with <<'EOF' and write "$MERGE_MODEL" in double quotes`],
    ['docker run img bash -c "python e.py {model}"', `sh -c '… "$1" …' sh {model}`],
    ['tar cf - {model} --checkpoint-action=exec={model}', 'Put the command into a script that uses "$MERGE_MODEL"'],
  ])('refused: %s, with a form that arrives', async (command, form) => {
    const error = await mergeError(() => checkPlaceholders('--eval', command, ['model', 'out']));
    expect(error).toMatchObject({ code: 'E_OPTION', help: expect.stringContaining(form) });
  });

  it('reach another machine in the form that is shown for it', async () => {
    const error = await mergeError(() => checkPlaceholders('--eval', 'ssh host python eval.py {model}', ['model']));
    const form = /printf .*"'(?=\.)/.exec(error.help!)![0];
    checkPlaceholders('--eval', form, ['model'], true);
    const far = `ssh() { shift; env -u MERGE_MODEL sh -c "python() { printf '%s' \\"\\$2\\"; }; $*"; }; ${form}`;
    const env = { ...process.env, MERGE_MODEL: MODEL };
    expect(execFileSync('sh', ['-c', far], { encoding: 'utf8', env })).toBe(MODEL);
  });
});
