// Prints the tests that failed in one run of Vitest, from its JSON report: file, name and what they said first.
import { readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

const SHOWN_LINES = 20;

/** @param {string} text */
const shown = (text) =>
  stripVTControlCharacters(text)
    .split('\n')
    .slice(0, SHOWN_LINES)
    .map((line) => `    ${line}`)
    .join('\n');

for (const file of JSON.parse(readFileSync(process.argv[2], 'utf8')).testResults) {
  const failed = file.assertionResults.filter(({ status }) => status === 'failed');
  // A file that cannot even load has no failing test.
  if (file.status !== 'failed' && failed.length === 0) continue;
  console.log(`  ${relative(process.cwd(), file.name)}`);
  if (failed.length === 0) console.log(shown(file.message));
  for (const { fullName, failureMessages } of failed) console.log(`  ${fullName}\n${shown(failureMessages.join('\n'))}`);
}
