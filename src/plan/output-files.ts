import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { SideFile } from '../checkpoint/side-files.ts';
import type { Checkpoint } from '../checkpoint/types.ts';
import { dtypeByCode, dtypeByName } from '../dtype.ts';
import { embeddedProvenance, shortProvenance, withoutProvenance } from '../publish/provenance.ts';
import { encodeTable, layOutTensors } from '../safetensors/encode-header.ts';
import { encodeIndex } from '../safetensors/encode-index.ts';
import type { TensorTable } from '../safetensors/types.ts';
import type { ResolvedWeights } from '../schedule/types.ts';
import { recordedRecipe } from './recipe.ts';
import type { OutputRequest, PlanMember, PlanOutput, PlanOutputFile } from './types.ts';

/** Raised when the same recipe would give other bytes: part of every plan's digest. */
const ARITHMETIC_VERSION = 1;

/** What of an output its layout, members and schedule decide. */
export type OutputFiles = Omit<PlanOutput, 'members' | 'selection' | 'recipe' | 'baseModelId' | 'warnings'>;

/**
 * The tensor files of one output: names, headers, sizes, index and digest, in the layout's order. Pure.
 * @param members the output's own, to which the schedule's weights belong
 */
export function outputFiles(
  layout: Checkpoint,
  members: readonly PlanMember[],
  schedule: ResolvedWeights,
  request: OutputRequest,
  kind: 'folder' | 'file',
  side: readonly SideFile[],
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
  const files = layout.shards.map((shard): PlanOutputFile => {
    const { metadata, tensors } = shard.header;
    const { names, shapes } = tensors;
    const table = layOutTensors({ names, shapes, dtypes: withDtype(tensors, dtypeCode, changes) });
    const data = table.end.at(-1) ?? 0;
    dataBytes += data;
    const header = encodeTable(table, new Map([...withoutProvenance(metadata ?? new Map([['format', 'pt']])), ...record]));
    return { name: fileName(layout, shard.name, request.path, kind), header, bytes: header.length + data };
  });
  const index = layout.indexName === null ? null : { name: layout.indexName, bytes: indexBytes(layout, dataBytes) };

  const sideFiles = kind === 'folder' ? side : [];

  const digest = createHash('sha256');
  const recipeText = {
    arithmetic: ARITHMETIC_VERSION,
    members: members.map((m, i) => [m.fingerprint, schedule.weights[i]!]).filter(([, w]) => w !== 0),
    ...(request.optimizer === 'newest' && { optimizer: request.optimizer }),
  };
  digest.update(JSON.stringify(recipeText));
  for (const file of files) digest.update(`\n${file.name}\n`).update(file.header);
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

/** Dtype codes with float tensors in another dtype. */
function withDtype(table: TensorTable, code: number | null, changes: Map<string, number>): Uint8Array {
  if (code === null) return table.dtypes;
  return table.dtypes.map((own) => {
    const from = dtypeByCode(own);
    if (from.kind !== 'float' || own === code) return own;
    const change = `${from.name} to ${dtypeByCode(code).name}`;
    changes.set(change, (changes.get(change) ?? 0) + 1);
    return code;
  });
}

/** The layout's index with the sizes of this output: `total_size` always, everything else as the source has it. */
function indexBytes(layout: Checkpoint, dataBytes: number): Uint8Array {
  const metadata = new Map(layout.indexMetadata ?? []);
  metadata.set('total_size', dataBytes);
  const weightMap = layout.shards.flatMap((shard) => shard.header.tensors.names.map((name): [string, string] => [name, shard.name]));
  return encodeIndex({ metadata, weightMap });
}
