import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { SideFile } from '../checkpoint/side-files.ts';
import type { Checkpoint } from '../checkpoint/types.ts';
import { dtypeByName } from '../dtype.ts';
import { embeddedProvenance, shortProvenance, withoutProvenance } from '../publish/provenance.ts';
import { frameEntries } from '../safetensors/encode-header.ts';
import type { ResolvedWeights } from '../schedule/types.ts';
import { recordedRecipe } from './recipe.ts';
import type { SharedText, Tables } from './shared-text.ts';
import type { OutputRequest, PlanMember, PlanOutput, PlanOutputFile } from './types.ts';

/** Raised when the same recipe would give other bytes: part of every plan's digest. */
const ARITHMETIC_VERSION = 1;

/** What of an output its layout, members and schedule decide. */
export type OutputFiles = Omit<PlanOutput, 'members' | 'selection' | 'recipe' | 'baseModelId' | 'warnings'>;

/**
 * The tensor files of one output: names, headers, sizes, index and digest, in the layout's order. Pure.
 * @param members the output's own, to which the schedule's weights belong
 * @param shared the layout's tensors, and what other outputs made of them
 */
export function outputFiles(
  layout: Checkpoint,
  members: readonly PlanMember[],
  schedule: ResolvedWeights,
  request: OutputRequest,
  kind: 'folder' | 'file',
  side: readonly SideFile[],
  shared: { readonly text: SharedText; readonly tables: Tables },
  options: { readonly like: string | null; readonly allowMixedDtypes: boolean },
): OutputFiles {
  const dtypeCode = request.dtype === undefined ? null : dtypeByName(request.dtype)!.code;
  const { recipe, ...about } = recordedRecipe(members, { path: request.path, schedule, ...asked(request) }, options);
  const record =
    kind === 'file'
      ? embeddedProvenance({ ...about, recipe, dtypeChanges: [], warnings: [] })
      : shortProvenance({ method: schedule.method, parameters: schedule.parameters, members: recipe.members });
  const changes = new Map<string, number>();
  let dataBytes = 0;
  const digest = createHash('sha256');
  const recipeText = {
    arithmetic: ARITHMETIC_VERSION,
    members: members.map((m, i) => [m.fingerprint, schedule.weights[i]!]).filter(([, w]) => w !== 0),
    ...(request.optimizer === 'newest' && { optimizer: request.optimizer }),
  };
  digest.update(JSON.stringify(recipeText));
  const files = layout.shards.map((shard, s): PlanOutputFile => {
    const entries = shared.text.entries(shared.tables[s]!, dtypeCode);
    dataBytes += entries.dataBytes;
    for (const [change, count] of entries.dtypeChanges) changes.set(change, (changes.get(change) ?? 0) + count);
    // nanotron refuses keys in `__metadata__` that it does not know.
    const metadata = layout.namesPerFile
      ? new Map(shard.header.metadata)
      : new Map([...withoutProvenance(shard.header.metadata ?? new Map([['format', 'pt']])), ...record]);
    const parts = frameEntries(entries.encoded, metadata);
    const headerBytes = parts.reduce((sum, part) => sum + part.length, 0);
    const name = fileName(layout, shard.name, request.path, kind);
    digest.update(`\n${name}\n`).update(parts[0]).update(entries.digest);
    return { name, headerBytes, header: () => Buffer.concat(parts), bytes: headerBytes + entries.dataBytes };
  });
  const index = layout.indexName === null ? null : { name: layout.indexName, bytes: shared.text.index(layout, shared.tables, dataBytes) };

  const sideFiles = kind === 'folder' ? side : [];

  return {
    path: request.path,
    kind,
    ...asked(request),
    dtypeCode,
    schedule,
    files,
    index,
    sideFiles,
    bytes: [...files.map((f) => f.bytes), ...sideFiles.map((f) => f.size), index?.bytes.length ?? 0].reduce((a, b) => a + b),
    digest: digest.digest('hex'),
    dtypeChanges: [...changes].map(([change, count]) => `${change}: ${count} tensors`),
  };
}

function asked(request: OutputRequest): Pick<PlanOutput, 'dtype' | 'purpose' | 'optimizer'> {
  return { dtype: request.dtype ?? null, purpose: request.for ?? null, optimizer: request.optimizer ?? null };
}

function fileName(layout: Checkpoint, shardName: string, output: string, kind: 'folder' | 'file'): string {
  if (kind === 'file') return basename(output);
  return layout.kind === 'file' ? 'model.safetensors' : shardName;
}
