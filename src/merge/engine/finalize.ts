import { createHash } from 'node:crypto';
import { basename, join, resolve } from 'node:path';
import { onOutput } from '../../base/disk/io-error.ts';
import { patchOwn, writeAnew } from '../../base/disk/own-file.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import type { Warning } from '../../base/errors.ts';
import { inputIdentity } from '../../checkpoints/fingerprint.ts';
import { PROVENANCE_FILE, RECIPE_FILE } from '../../checkpoints/our-files.ts';
import { HF_NAMES } from '../../recipe/types.ts';
import type { NativeBinding } from '../native/binding.ts';
import { type CopiedFile, composeFile, copySideFiles } from '../output/copy-side-files.ts';
import { findPartials } from '../output/partial.ts';
import { beginPublication, clearPublished } from '../output/publication.ts';
import { withRecordBeside } from '../output/record-beside.ts';
import { partialToResume, WHOLE_PART } from '../output/resume.ts';
import type { Publication, PublicationRequest } from '../output/types.ts';
import { membersOf } from '../plan/document.ts';
import { goingOn } from '../plan/going-on.ts';
import { recordedRecipe } from '../plan/recipe.ts';
import type { Plan, PlanOutput } from '../plan/types.ts';
import { mergeCard } from '../record/merge-card.ts';
import { buildProvenance, type ProvenanceInput, provenanceText } from '../record/provenance.ts';
import type { FinishedFile, FinishedFiles } from './finished-files.ts';

/** What a run found out. */
type Found = Required<Pick<ProvenanceInput, 'warnings' | 'rounding' | 'timings'>>;

/** How a publication is begun. */
interface BeginOptions {
  readonly force?: boolean | undefined;
  readonly resume?: boolean | undefined;
  readonly sync?: boolean | undefined;
}

/**
 * Begins the publication of every output of a plan; each is handed to `register` as soon as it exists, so
 * that a later failure can undo it. With `resume`, each goes on with what an interrupted run left of it, and
 * begins where that is nothing.
 */
export async function beginPublications(
  plan: Plan,
  binding: NativeBinding,
  options: BeginOptions,
  register: (publication: Publication) => void,
  onWarning: (output: number, warning: Warning) => void,
): Promise<void> {
  const requests = plan.outputs.map((_, k) => publicationRequest(plan, k, options));
  // Before the first is taken over: a resume that has to wait leaves everything as it is.
  if (options.resume === true) for (const request of requests) partialToResume(await findPartials(request.output), request);
  for (const [k, request] of requests.entries()) {
    const publication = await beginPublication(request, {
      rename: (from, to, how) => binding.rename(from, to, how),
      onWarning: (warning) => onWarning(k, warning),
    });
    register(publication);
  }
  for (const output of plan.finished) await clearPublished(output);
}

/** What output `k` of a plan asks of its publication. */
export function publicationRequest(plan: Plan, k: number, options: BeginOptions): PublicationRequest {
  const output = plan.outputs[k]!;
  const parts = identityParts(output);
  const inputs = inputParts(plan, output);
  return {
    output: output.path,
    kind: output.kind,
    force: options.force ?? false,
    resume: options.resume ?? false,
    // An input is what it is wherever this machine has mounted it.
    identity: createHash('sha256')
      .update(JSON.stringify([parts, inputs.map(([, identity]) => identity)]))
      .digest('hex'),
    identityParts: { ...Object.fromEntries(inputs), ...parts },
    request: output.request ?? undefined,
    bytes: output.bytes,
    unsafeNoSync: options.sync === false,
  };
}

/**
 * All but the inputs that decides the bytes of an output, by names that mean something where a resume is
 * refused. The same whatever else is made in the run.
 */
function identityParts(output: PlanOutput): Record<string, string> {
  const { schedule, dtype, digest, policies } = output;
  const parts: Record<string, string> = { method: schedule.method };
  for (const [name, value] of Object.entries(schedule.parameters)) parts[name] = String(value);
  const weights = [...schedule.weights].filter((w) => w !== 0);
  parts.weights = weights.join(',');
  parts.dtype = dtype ?? 'as the layout';
  if (policies.length > 0) parts.policies = policies.map((p) => p.text).join('; ');
  return { ...parts, [WHOLE_PART]: digest };
}

/** Path and identity of every input that an output is made from, in the order of the sum. */
function inputParts(plan: Plan, output: PlanOutput): [path: string, identity: string][] {
  const used = membersOf(plan, output).filter((_, i) => output.used[i]);
  return used.map(({ path, fingerprint, checkpoint }) => [path, inputIdentity(fingerprint, checkpoint)]);
}

/**
 * Adds everything beside the tensors (index, configuration, tokenizer, provenance, card) and makes the output
 * appear.
 */
export async function publishOutput(
  plan: Plan,
  k: number,
  publication: Publication,
  finished: FinishedFiles,
  binding: NativeBinding,
  record: Found,
  signal?: AbortSignal,
): Promise<void> {
  const output = plan.outputs[k]!;
  const { dir } = publication;
  const files = await finishFiles(output, k, dir, finished);
  if (output.kind === 'file') {
    if (output.recordBeside === null) return publication.finish();
    const provenance = buildProvenance({ ...recordOf(plan, output, record), files });
    return withRecordBeside(output.recordBeside, provenanceText(provenance), () => publication.finish());
  }
  const write = (name: string, content: string | Uint8Array): Promise<void> =>
    onOutput('write', `${output.path} (${name})`, () => writeAnew(SYSTEM, join(dir, name), content));
  const sum = (bytes: Uint8Array, before: number): number => binding.crc32c(bytes, before);
  const beside: CopiedFile[] = [];
  const writeBeside = async (name: string, content: string | Uint8Array): Promise<void> => {
    const bytes = Buffer.from(content);
    await write(name, bytes);
    beside.push({ name, bytes: bytes.length, crc: sum(bytes, 0) });
  };
  if (output.index !== null) await writeBeside(output.index.name, output.index.bytes);

  for (const file of output.composed) beside.push(await composeFile(file, { dir, shown: output.path }, sum, signal));

  const replaced = new Map(output.edited.map(({ name, text }) => [name, text]));
  beside.push(...(await copySideFiles(output.sideFiles, { dir, shown: output.path }, { replaced, sum, signal })));
  if (output.recipe !== null) await write(RECIPE_FILE, output.recipe);

  const provenance = buildProvenance({
    ...recordOf(plan, output, record),
    files,
    // Without the card, which whoever publishes the merge writes on, and the recipe, which names the output:
    // the record of a merge is the same wherever it is written.
    sideFiles: beside,
  });
  await write(PROVENANCE_FILE, provenanceText(provenance));
  await write(
    'README.md',
    mergeCard(provenance, {
      ...output,
      name: basename(resolve(output.path)),
      floats: plan.floats,
      next: goingOn(plan, output, { output: 'this folder', above: 'the folder that it lies in' }),
      namesOfTrainer: plan.layout.form.kind !== 'safetensors' && plan.names?.asked !== HF_NAMES,
    }),
  );
  await publication.finish();
}

/** What a merge says of itself, but for its files. */
function recordOf(plan: Plan, output: PlanOutput, record: Found): Omit<ProvenanceInput, 'files'> {
  return {
    ...recordedRecipe(membersOf(plan, output), output, plan),
    planDigest: output.digest,
    // For ranks that come late; the record of one process is the same however its inputs were named.
    request: record.timings?.ranks === undefined ? null : output.request,
    dtypeChanges: [...output.dtypeChanges, ...output.edited.flatMap(({ changes }) => changes)],
    selection: output.report,
    hidden: output.left.flatMap(({ leadsTo }) => leadsTo ?? []),
    ...record,
  };
}

/** Lets the container of an output patch its files. @returns them with their CRC32Cs as they are then */
async function finishFiles(output: PlanOutput, k: number, dir: string, finished: FinishedFiles): Promise<FinishedFile[]> {
  const files = [...finished.of(k)];
  for (const [s, file] of files.entries()) {
    const patches = output.container.finish(output.files[s]!, finished.sums(k, s, file), s);
    if (patches.length === 0) continue;
    const path = join(dir, file.name);
    await onOutput('write', `${output.path} (${file.name})`, async () => {
      const changes = patches.map(({ offset, after }) => ({ offset, bytes: after }));
      await patchOwn(SYSTEM, path, changes);
    });
    files[s] = patches.reduce((changed, patch) => finished.patched(changed, patch), file);
  }
  return files;
}
