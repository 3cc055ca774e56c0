import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { runCli } from '../support/run-cli.ts';
import { removePlaces, runDisturbed, type SearchPlace, searchPlace, searchWords } from '../support/searching.ts';

afterAll(removePlaces);

const pageOf = ({ dir }: SearchPlace) => readFileSync(join(dir, 'report.html'), 'utf8');

/** A search that scores the first, and hangs in the second, with a file to say that its page tells of that. */
function hanging({ dir }: SearchPlace) {
  const [page, ready] = [join(dir, 'report.html'), join(dir, 'ready')];
  const wait = `until grep -q 'evaluating trial 1' '${page}'; do sleep 0.05; done; touch '${ready}'; sleep 20`;
  return { ready, eval: `: "$MERGE_MODEL"; test "$MERGE_TRIAL" = 0 || { ${wait}; }; echo 0.5` };
}

it('a page that a kill left says when it was written, and report writes it anew', async () => {
  const place = searchPlace();
  const { ready, eval: command } = hanging(place);
  await runDisturbed(searchWords(place, { eval: command, trials: 3 }), { signal: { name: 'SIGKILL', when: ready } });
  expect(pageOf(place)).toMatch(/http-equiv="refresh"[\s\S]*Written <time datetime="20/);
  expect((await runCli(['report', place.dir])).code).toBe(0);
  expect(pageOf(place)).not.toContain('http-equiv="refresh"');
});

it('a page of what a signal ended says so, and loads itself no more', async () => {
  const place = searchPlace();
  const { ready, eval: command } = hanging(place);
  const words = searchWords(place, { eval: command, trials: 3, options: ['--serve', '127.0.0.1:0'] });
  const ended = await runDisturbed(words, { signal: { name: 'SIGTERM', when: ready } });
  expect(ended.code).toBe(143);
  expect(ended.stderr).toMatch(/^serving .*best\.search at http:\/\/127\.0\.0\.1:\d+\/ while this runs$/m);
  expect(pageOf(place)).not.toContain('http-equiv="refresh"');
  expect(pageOf(place)).toContain('interrupted; --resume goes on');
});
