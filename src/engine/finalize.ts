import { createHash } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { fileIdentity } from '../checkpoint/fingerprint.ts';
import type { Warning } from '../errors.ts';
import type { NativeBinding } from '../native/binding.ts';
import { recordedRecipe } from '../plan/recipe.ts';
import type { Plan } from '../plan/types.ts';
import { rewriteConfigDtype } from '../publish/config-dtype.ts';
import { copySideFiles } from '../publish/copy-side-files.ts';
import { onOutput } from '../publish/io-error.ts';
import { mergeCard } from '../publish/merge-card.ts';
import { buildProvenance, PROVENANCE_FILE, type ProvenanceTimings, provenanceText, sealDataCrc } from '../publish/provenance.ts';
import { beginPublication } from '../publish/publication.ts';
import type { Publication } from '../publish/types.ts';
import type { FinishedFiles } from './finished-files.ts';

/** Begins the publication of every output of a plan; each is handed to `register` as soon as it exists, so that a later failure can undo it. */
export async function beginPublications(
  plan: Plan,
  binding: NativeBinding,
  options: { readonly force?: boolean | undefined; readonly resume?: boolean | undefined; readonly sync?: boolean | undefined },
  register: (publication: Publication) => void,
  onWarning: (warning: Warning) => void,
): Promise<void> {
  for (const output of plan.outputs) {
    const parts: Record<string, string> = { recipe: output.digest };
    for (const { path, checkpoint, participates } of plan.members) {
      if (participates) parts[path] = checkpoint.shards.map(fileIdentity).join(' ');
    }
    const publication = await beginPublication(
      {
        output: output.path,
        kind: output.kind,
        force: options.force ?? false,
        resume: options.resume ?? false,
        identity: createHash('sha256').update(JSON.stringify(parts)).digest('hex'),
        identityParts: parts,
        bytes: output.bytes,
        unsafeNoSync: options.sync === false,
      },
      { rename: (from, to, how) => binding.rename(from, to, how), onWarning },
    );
    register(publication);
  }
}

/** Adds everything beside the tensors (index, configuration, tokenizer, provenance, card) and makes the output appear. */
export async function publishOutput(
  plan: Plan,
  k: number,
  publication: Publication,
  finished: FinishedFiles,
  record: { readonly warnings: readonly Warning[]; readonly timings: ProvenanceTimings },
): Promise<void> {
  const output = plan.outputs[k]!;
  const { dir } = publication;
  const files = finished.of(k);
  if (output.kind === 'file') {
    const header = output.files[0]!.header.slice();
    sealDataCrc(header, finished.dataCrc(k));
    await onOutput('write', join(dir, files[0]!.name), async () => {
      const handle = await open(join(dir, files[0]!.name), 'r+');
      try {
        await handle.write(header, 0, header.length, 0);
      } finally {
        await handle.close();
      }
    });
    return publication.finish();
  }
  const write = (name: string, content: string | Uint8Array): Promise<void> =>
    onOutput('write', join(dir, name), () => writeFile(join(dir, name), content));
  if (output.index !== null) await write(output.index.name, output.index.bytes);

  const config = output.dtype === null ? undefined : output.sideFiles.find((f) => f.name === 'config.json');
  const replaced = new Map<string, string>();
  const changes = [...output.dtypeChanges];
  if (config !== undefined) {
    const { text, changed } = rewriteConfigDtype(await readFile(config.path, 'utf8'), output.dtype!);
    replaced.set(config.name, text);
    if (changed.length > 0) changes.push(`config.json: ${changed.join(', ')}`);
  }
  await copySideFiles(output.sideFiles, dir, replaced);

  const provenance = buildProvenance({
    ...recordedRecipe(plan.members, output, plan),
    planDigest: output.digest,
    files,
    dtypeChanges: changes,
    warnings: record.warnings,
    timings: record.timings,
  });
  await write(PROVENANCE_FILE, provenanceText(provenance));
  const newest = plan.members.at(-1)!;
  const readme = newest.checkpoint.kind === 'folder' ? await readFile(join(newest.path, 'README.md'), 'utf8').catch(() => null) : null;
  await write('README.md', mergeCard(provenance, { name: basename(resolve(output.path)), sourceReadme: readme }));
  await publication.finish();
}
