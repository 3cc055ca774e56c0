import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { homedir, hostname, userInfo } from 'node:os';
import { basename, join, relative } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { fakeTerminal } from '../support/fake-terminal.ts';
import { someLayers, trained, writeMoeRun } from '../support/moe-run.ts';
import { weightedRun } from '../support/weighted-run.ts';

const temporary = temporaryFolder();
afterAll(temporary.remove);
const base = temporary.path;
const at = (...names: readonly string[]) => join(base, ...names);

async function merge(...args: readonly string[]): Promise<string> {
  const terminal = fakeTerminal();
  const code = await main(args, terminal);
  expect(code, terminal.written.err).toBe(0);
  return terminal.written.out;
}

/** What is no report: what an evaluator printed, with the line that runs it again, and whose lock it was. */
const EXCEPTED = [/(^|\/)logs\//, /^.*\/\.lock\/owner-?[^/]*$/, /\/\.merge-watch\/[^/]*owner[^/]*$/];

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => !lstatSync(path).isDirectory());
}

/** What a file tells of this machine. */
function told(path: string): string[] {
  const text = lstatSync(path).isSymbolicLink() ? readlinkSync(path) : readFileSync(path, 'latin1');
  const user = userInfo().username;
  // A short host name may be a word, and stands in no path.
  const words = [base, homedir(), `/${user}/`, ...(hostname().length > 5 ? [hostname()] : [])];
  return words.filter((word) => word.length > 1 && text.includes(word));
}

it('what the tool writes into files names no folder, home, user or host of this machine', async () => {
  const run = weightedRun(at('my runs', 'a'), 4);
  const siblings = ['seed-0', 'seed-1'].map((name) => join(weightedRun(at(name), 1), 'checkpoint-100'));
  const files = ['b', 'c'].map((name) => join(at(name), 'model.safetensors'));
  for (const [i, file] of files.entries()) {
    mkdirSync(at(basename(join(file, '..'))));
    const shards = readdirSync(join(run, `checkpoint-${100 * (i + 1)}`)).filter((name) => name.endsWith('.safetensors'));
    writeFileSync(file, readFileSync(join(run, `checkpoint-${100 * (i + 1)}`, shards[0]!)));
  }
  // A link that is left out, and a command that says where it is.
  mkdirSync(at('elsewhere of mine'));
  writeFileSync(at('elsewhere of mine', 'secret'), '{}');
  for (const step of [100, 200, 300, 400])
    symlinkSync(at('elsewhere of mine', 'secret'), join(run, `checkpoint-${step}`, 'tokenizer.json'));
  const tool = at('tools', 'score.sh');
  mkdirSync(at('tools'));
  // The score is of the bytes; the newest of all is where it fails, and says where.
  writeFileSync(
    tool,
    `case "$MERGE_TRIAL" in 2) echo "cannot score $MERGE_MODEL"; exit 3;; esac; cat "$1" "$1"/*.safetensors 2>/dev/null | cksum | cut -d" " -f1\n`,
  );
  chmodSync(tool, 0o755);
  const score = `sh ${tool} "$MERGE_MODEL"`;
  const given = new Set(filesIn(base));
  const study = ['--eval', score, '--goal', 'maximize', '--quiet'];

  await merge('average', run, '--last', '2', '-o', at('average'), '--quiet');
  await merge('average', ...files, '-o', at('average.safetensors'), '--quiet');
  writeFileSync(
    at('recipe.yaml'),
    `inputs: ${JSON.stringify(run)}\noutputs:\n  - path: ${at('two', 'x')}\n  - path: ${at('two', 'y')}\n    method: wma\n`,
  );
  given.add(at('recipe.yaml'));
  mkdirSync(at('two'));
  await merge('run', at('recipe.yaml'), '--quiet');
  const words = ['search', run, '--last', '3', ...study, '--trials', '4', '-o', at('best')];
  await merge(...words, '--validate', `sh ${tool} {model}`);
  await merge('soup', ...siblings, ...study, '-o', at('soup'));
  await merge('soup', ...files, ...study, '--dir', at('of files'));
  await merge('forecast', run, '--window', '2', ...study, '--dir', at('forecast'));
  await merge('diff', ...siblings, '--out', at('diff.html'), '--quiet');
  const layers = someLayers(1);
  const moe = at('moe');
  const before = new Set(filesIn(base));
  writeMoeRun(moe, [layers, trained(layers, 2)]);
  for (const path of filesIn(base)) if (!before.has(path)) given.add(path);
  mkdirSync(at('work'));
  const routers = ['--eval', `sh ${tool} {model}; echo 1`, '--work', at('work'), '--keep', '--goal', 'maximize'];
  await merge('routers', moe, ...routers, '--out', at('routers.html'), '--quiet');
  await merge('watch', run, '--once', '--poll', '0.02', '--settle', '0.05', '-o', at('merges'), '--quiet');
  await merge('report', at('best.search'), '--out', at('report.html'), '--quiet');

  const written = filesIn(base).filter((path) => !given.has(path));
  const names = written.map((path) => relative(base, path));
  const tried = ['trials.jsonl', 'validation.jsonl', 'result.json', 'made.json', 'report.html', 'best.yaml', 'sma.yaml'].map(
    (name) => `best.search/${name}`,
  );
  expect(names).toEqual(expect.arrayContaining([...tried, 'diff.html', 'routers.html', 'forecast/result.json', 'of files/trials.jsonl']));
  expect(readFileSync(at('best.search', 'trials.jsonl'), 'utf8')).toContain('"status":"failed"');
  expect(readFileSync(at('best.search', 'result.json'), 'utf8')).toContain('W_LINK_LEFT');
  const telling = written
    .filter((path) => !EXCEPTED.some((pattern) => pattern.test(`/${relative(base, path)}`)))
    .flatMap((path) => told(path).map((word) => `${relative(base, path)}: ${word}`));
  expect(telling).toEqual([]);
  for (const text of ['elsewhere of mine', 'secret']) {
    const found = written.filter((path) => /\.(json|jsonl|html|yaml|md)$/.test(path) && readFileSync(path, 'utf8').includes(text));
    expect(found).toEqual([]);
  }
  expect(existsSync(at('best'))).toBe(true);
});
