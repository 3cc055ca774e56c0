// Publishes a folder from a process of its own, so that tests can kill it: node publish-child.js OUT TEXT
// [force] [resume] [hold=STAGE] Prints a line for each stage it reaches, and stands still at STAGE. Exits
// with the error's exit code.
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadBinding } from '../../dist/merge/native/load.js';
import { unitKey } from '../../dist/merge/output/journal.js';
import { beginPublication } from '../../dist/merge/output/publication.js';

const [output, text, ...flags] = process.argv.slice(2);
const hold = flags.find((flag) => flag.startsWith('hold='))?.slice(5);

async function reach(stage) {
  process.stdout.write(`${stage}\n`);
  if (stage !== hold) return;
  setInterval(() => {}, 1 << 30);
  await new Promise(() => {});
}

try {
  const binding = loadBinding();
  const request = { output, kind: 'folder', force: flags.includes('force'), resume: flags.includes('resume'), identity: text, bytes: 1000 };
  const publication = await beginPublication(request, { rename: (from, to, how) => binding.rename(from, to, how) });
  await reach('begun');
  for (let i = 0; i < 8; i++) {
    const unit = { file: `${i}.safetensors`, start: 0, end: text.length, crc: i, nonfinite: [] };
    if (publication.finished.has(unitKey(unit))) {
      await reach(`skipped ${i}`);
      continue;
    }
    writeFileSync(join(publication.dir, unit.file), text);
    await publication.journal(unit);
    await reach(`journaled ${i}`);
  }
  await reach('written');
  while (flags.includes('wait') && !existsSync(`${output}.go`)) await new Promise((resolve) => setTimeout(resolve, 1));
  await publication.finish().catch(async (error) => {
    await publication.abandon({ keep: false });
    throw error;
  });
  await reach('published');
} catch (error) {
  process.stdout.write(`${error.code}\n`);
  process.exitCode = error.exitCode ?? 99;
}
