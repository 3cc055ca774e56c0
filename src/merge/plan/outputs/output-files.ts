import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import { frameEntries } from '../../../checkpoints/containers/safetensors/encode-header.ts';
import { recordBeside } from '../../../checkpoints/our-files.ts';
import type { Shard } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import type { ResolvedWeights } from '../../../recipe/schedule/types.ts';
import { embeddedProvenance, shortProvenance, withoutProvenance } from '../../record/provenance.ts';
import { type RecordedLayout, recordedRecipe } from '../recipe.ts';
import type { Entries, SharedText, Tables } from '../tensors/shared-text.ts';
import { isAboutFiles } from '../tensors/still-true.ts';
import type { OutputRequest, PlanMember, PlanOutput, PlanOutputFile, PlanPolicy } from '../types.ts';
import type { FilesBeside } from './beside.ts';
import { type ComposedFile, type OutputForm, SAFETENSORS, SEALED_SAFETENSORS } from './container.ts';
import type { Companions } from './dcp-companions.ts';

/** Raised when the same recipe would give other bytes: part of every plan's digest. */
const ARITHMETIC_VERSION = 1;

/** What of an output its layout, members and schedule decide. */
export type OutputFiles = Omit<
  PlanOutput,
  'members' | 'selection' | 'report' | 'recipe' | 'baseModelId' | 'warnings' | 'treatments' | 'request' | 'kept'
>;

/** What every tensor of an output has done to it. */
export interface RecordedTreatments {
  readonly policies: readonly PlanPolicy[];
  /** [members] whether any tensor is made from it. */
  readonly used: readonly boolean[];
  /**
   * Distinct treatments, so that equal ones say the same and others do not, and by shard which of them each
   * tensor has.
   */
  readonly kinds: readonly unknown[];
  readonly of: readonly Int32Array[];
}

/**
 * The tensor files of one output: names, headers, sizes, index and digest, in the layout's order. Pure.
 * @param members the output's own, to which the schedule's weights belong
 * @param entries by shard, the tensors as this output holds them
 * @param shared what other outputs made of the same tensors; `floats`: none of them is quantised
 */
export function outputFiles(
  layout: Checkpoint,
  members: readonly PlanMember[],
  schedule: ResolvedWeights,
  request: OutputRequest,
  kind: 'folder' | 'file',
  side: FilesBeside,
  treatments: RecordedTreatments,
  entries: readonly Entries[],
  shared: {
    readonly text: SharedText;
    readonly shards: readonly Pick<Shard, 'name' | 'metadata'>[];
    readonly tables: Tables;
    readonly parameters: number;
    readonly floats: boolean;
    /** Of what is no safetensors; and of DCP what it has beside its tensors. */
    readonly form: OutputForm | null;
    readonly companions: Companions | null;
  },
  options: RecordedLayout,
): OutputFiles {
  const { used, policies } = treatments;
  const { recipe, ...about } = recordedRecipe(members, { path: request.path, schedule, used, policies, ...asked(request) }, options);
  const record =
    kind === 'file'
      ? embeddedProvenance({ ...about, recipe, dtypeChanges: [], warnings: [] })
      : shortProvenance({ method: schedule.method, parameters: schedule.parameters, members: recipe.members });
  const changes = new Map<string, number>();
  let dataBytes = 0;
  const digest = createHash('sha256');
  const recipeText = {
    arithmetic: ARITHMETIC_VERSION,
    treatments: treatments.kinds,
    ...(request.optimizer === 'newest' && { optimizer: request.optimizer }),
    ...(shared.companions !== null && { optimizer: request.optimizer, extraState: request.extraState, weightsFrom: request.weightsFrom }),
    // The same names may be given to rows in another order.
    ...(options.names !== null && { names: { ...options.names, table: options.names.table?.digest ?? null, config: side.config } }),
  };
  digest.update(JSON.stringify(recipeText));
  const files = shared.shards.map((shard, s): PlanOutputFile => {
    const tensors = entries[s]!;
    dataBytes += tensors.dataBytes;
    for (const [change, count] of tensors.dtypeChanges) changes.set(change, (changes.get(change) ?? 0) + count);
    if (shared.form !== null) {
      const name = shared.form.nameOf(s);
      digest.update(`\n${name}\n`).update(tensors.digest).update(new Uint8Array(treatments.of[s]!.buffer));
      return { name, bytes: tensors.dataBytes, ...shared.form.frame(tensors) };
    }
    // nanotron refuses keys in `__metadata__` that it does not know.
    const metadata = layout.namesPerFile
      ? new Map(shard.metadata)
      : new Map([...ownMetadata(shard.metadata ?? new Map(), shared.floats), ...record]);
    const parts = frameEntries(tensors.encoded, metadata);
    const headerBytes = parts.reduce((sum, part) => sum + part.length, 0);
    const single = layout.kind === 'file' && shared.shards.length === 1;
    const name = kind === 'file' ? basename(request.path) : single ? 'model.safetensors' : shard.name;
    digest.update(`\n${name}\n`).update(parts[0]).update(tensors.digest).update(new Uint8Array(treatments.of[s]!.buffer));
    return { name, headerBytes, header: () => Buffer.concat(parts), bytes: headerBytes + tensors.dataBytes };
  });
  const indexName =
    shared.form === null ? indexNameOf(layout, kind, shared.shards, options.shardSize !== null || options.filesAsked !== null) : null;
  const composed = [...(shared.form?.composed(entries) ?? []), ...configFile(side.config)];
  const safetensors = kind === 'file' ? SEALED_SAFETENSORS : SAFETENSORS;
  const index =
    indexName === null
      ? (shared.form?.index(entries) ?? null)
      : {
          name: indexName,
          bytes: shared.text.index({ ...layout, shards: shared.shards }, shared.tables, { dataBytes, parameters: shared.parameters }),
        };

  return {
    path: request.path,
    kind,
    ...asked(request),
    used,
    policies,
    schedule,
    recordBeside: kind === 'file' && shared.form !== null ? recordBeside(request.path) : null,
    files,
    container: shared.form?.container(entries) ?? safetensors,
    composed,
    index,
    ...side,
    bytes: [
      ...files.map((f) => f.bytes),
      ...side.sideFiles.map((f) => f.size),
      ...composed.map((f) => f.bytes),
      index?.bytes.length ?? 0,
    ].reduce((a, b) => a + b),
    digest: digest.digest('hex'),
    dtypeChanges: [...changes].map(([change, count]) => `${change}: ${count} tensor${count === 1 ? '' : 's'}`),
  };
}

function configFile(text: string | null): ComposedFile[] {
  if (text === null) return [];
  const bytes = Buffer.from(text);
  return [{ name: 'config.json', bytes: bytes.length, parts: [bytes] }];
}

function asked(request: OutputRequest): Pick<PlanOutput, 'dtype' | 'purpose' | 'optimizer' | 'extraState' | 'weightsFrom' | 'weightsFile'> {
  const { dtype = null, for: purpose = null, optimizer = null, extraState = null, weightsFrom = null, weightsFile = null } = request;
  return { dtype, purpose, optimizer, extraState, weightsFrom, weightsFile };
}

const INDEX = 'model.safetensors.index.json';

/**
 * Shards that came without an index get one: nothing else loads them.
 * @param resharded their size or number was asked for
 */
function indexNameOf(
  { indexName, namesPerFile }: Checkpoint,
  kind: 'folder' | 'file',
  shards: readonly unknown[],
  resharded: boolean,
): string | null {
  const several = kind === 'folder' && !namesPerFile && shards.length > 1;
  if (resharded && !several) return null;
  return indexName ?? (several ? INDEX : null);
}

/**
 * What a header of the layout says that may hold for an output's; transformers refuses files that name no
 * format.
 */
function ownMetadata(metadata: ReadonlyMap<string, string>, floats: boolean): Map<string, string> {
  const own = new Map([...withoutProvenance(metadata)].filter(([key, value]) => key === 'format' || !isAboutFiles(key, value, !floats)));
  return own.has('format') ? own : own.set('format', 'pt');
}
