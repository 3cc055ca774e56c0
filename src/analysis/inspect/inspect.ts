import { type DtypeName, dtypeByCode, dtypeByName } from '../../base/dtype.ts';
import { type Conflict, MergeError, type Warning } from '../../base/errors.ts';
import { storeOf } from '../../base/store/store.ts';
import type { StoredForm } from '../../checkpoints/containers/types.ts';
import { readIntegrity } from '../../checkpoints/integrity.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import { SECTION_WORDS, sectionOf } from '../../checkpoints/tensors/section.ts';
import type { TensorPlace } from '../../checkpoints/tensors/types.ts';
import { isTrainingState } from '../../checkpoints/training-state.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { quantisationConfig } from '../../model/quantised/config.ts';
import { recogniseQuantised } from '../../model/quantised/recognise.ts';
import { type CheckpointRoles, checkpointRoles, tensorName } from '../../model/roles/checkpoint-roles.ts';
import { emptyWeights } from '../../model/roles/emptied.ts';
import { missingParts } from '../../model/roles/headless.ts';
import { layerNumbers } from '../../model/roles/layer-checks.ts';
import { readConfigText } from '../../model/roles/model-config.ts';
import { countParameters } from '../../model/roles/model-size.ts';
import { weightsPerElement } from '../../model/roles/packed.ts';
import { severalModels } from '../../model/roles/several-models.ts';
import { type ExpertLayer, structure } from '../../model/roles/structure.ts';
import { configuredTie, storedTwice, tiedPairs } from '../../model/roles/tied.ts';
import { ROLES, type Role } from '../../model/roles/types.ts';
import { peftConflicts, wrappedNames } from '../../model/roles/wrapped.ts';
import { checkPathGiven } from '../../recipe/given.ts';
import { chunksOf, type SectionTotals, sectionTotals, type TensorChunk, tensorFiles } from './contents.ts';
import { type QuantisationSummary, quantisationSummary } from './quantisation.ts';

/** What the tensors of one dtype, or of one role, come to. */
export interface DtypeTotals {
  readonly tensors: number;
  /** Elements; of packed codes, the weights that they stand for. */
  readonly parameters: number;
  readonly bytes: number;
}

export interface RoleTotals extends DtypeTotals {
  /** In the order in which they are met. */
  readonly dtypes: readonly DtypeName[];
}

export interface InspectedTensor {
  readonly name: string;
  readonly dtype: DtypeName;
  readonly shape: readonly number[];
  readonly bytes: number;
  /** Tensor file, by its name inside the checkpoint; of a tensor in several, the one with its beginning. */
  readonly file: string;
  /** What the container says that it belongs to; `model` where it tells of nothing else. */
  readonly section: SectionTotals['section'];
  /** Where its parts lie; null in containers that store every tensor in one piece, as safetensors does. */
  readonly chunks: readonly TensorChunk[] | null;
  /** What the tensor is for; null where unknown. A layer of multi-token prediction has its inner role. */
  readonly role: Role | null;
  /** Null where unknown or none, or where the tensor holds all of them. */
  readonly layer: number | null;
  readonly expert: number | null;
  readonly mtp: boolean;
}

/** The JSON document of `inspect`. */
export interface Inspection {
  readonly schema: 'ckpt-merge/inspect';
  readonly version: 1;
  readonly path: string;
  readonly summary: {
    readonly kind: 'folder' | 'file';
    /** The form in which it is stored, and who wrote it, where something tells. */
    readonly container: StoredForm;
    /**
     * What of it is the model, the optimizer's and the trainer's: `model` alone where the container tells of
     * nothing else.
     */
    readonly sections: readonly SectionTotals[];
    /**
     * Checksums of its files that its writer left, and how many files they are for; null where there are
     * none.
     */
    readonly integrity: { readonly algorithm: string; readonly files: number } | null;
    readonly files: readonly { readonly name: string; readonly bytes: number; readonly tensors: number }[];
    /** Files and folders beside the weights that are the state of the training, by name: not counted in the rest. */
    readonly beside: readonly string[];
    /** Of the model, as `sections` has it, and so all that follows. */
    readonly tensors: number;
    /** Elements of all tensors. */
    readonly parameters: number;
    /** Bytes of tensor data. */
    readonly bytes: number;
    readonly step: number | null;
    readonly tokens: number | null;
    readonly dtypes: Readonly<Partial<Record<DtypeName, DtypeTotals>>>;
    /** `model_type` of config.json; null where there is none. */
    readonly family: string | null;
    /** Layers of the model by the tensors' names, those of multi-token prediction apart. */
    readonly layers: number;
    readonly mtpLayers: number;
    /**
     * Experts of a layer, and how many of them a token is sent to (null where unknown); null for a dense
     * model.
     */
    readonly experts: { readonly count: number; readonly perToken: number | null } | null;
    /** Layers that have experts, and how many each has by its tensors (null where they do not tell). */
    readonly expertLayers: readonly ExpertLayer[];
    /**
     * Parameters of the model, a tied output head once, and those that act on one token; null where nothing
     * says how many experts do.
     */
    readonly totalParameters: number;
    readonly activeParameters: number | null;
    /** What configuration and tensors leave open about its size, a line each. */
    readonly sizeNotes: readonly string[];
    /** In the order of the roles; `unknown` where no rule knows the name. */
    readonly roles: Readonly<Partial<Record<Role | 'unknown', RoleTotals>>>;
    /**
     * What the configuration says of tied embeddings (null where nothing), and embeddings and output heads of
     * one shape that are both stored; `same`, where it says that they are one, whether they are by a sample
     * of both.
     */
    readonly tied: {
      readonly configured: boolean | null;
      readonly pairs: readonly { readonly embedding: string; readonly head: string; readonly same: boolean | null }[];
    };
    /** Null for plain tensors. */
    readonly quantisation: QuantisationSummary | null;
    /** What cannot be right in it, or cannot be merged, from headers and configuration alone. */
    readonly problems: readonly Conflict[];
    /** `__metadata__` of the first tensor file. */
    readonly metadata: Readonly<Record<string, string>>;
  };
  readonly tensors: readonly InspectedTensor[];
  readonly warnings: readonly Warning[];
}

/** What a trainer saved beside the weights in the folder that was named; of a file nothing. */
async function stateBeside(path: string): Promise<string[]> {
  const entries = await storeOf(path).list(path);
  return (entries ?? [])
    .map(({ name }) => name)
    .filter(isTrainingState)
    .sort();
}

/**
 * What a checkpoint holds, from what describes its tensors and config.json; where that says that two stored
 * matrices are one, a few kilobytes of both are compared.
 *
 * @param path folder or file of any container that is read
 * @throws MergeError with the code of what is wrong with the checkpoint, naming file and tensor
 */
export async function inspect(path: string): Promise<Inspection> {
  checkPathGiven('inspect', path);
  const checkpoint = await openCheckpoint(path);
  const dtypes = new Map<DtypeName, Totals>();
  const roles = new Map<Role | 'unknown', Totals>();
  const known = await checkpointRoles(checkpoint);
  const twice = await storedTwice(checkpoint, known);
  const size = countParameters(checkpoint, known, twice);
  const perElement = weightsPerElement(checkpoint, known);
  const sections = sectionTotals(checkpoint);
  const ofModel = sections.find(({ section }) => section === 'model')!;
  const integrity = await readIntegrity(checkpoint).catch((error: unknown) => {
    if (error instanceof MergeError) return error;
    throw error;
  });
  let parameters = 0;
  for (const [shard, { tensors: table }] of checkpoint.shards.entries()) {
    for (let row = 0; row < table.count; row++) {
      if (sectionOf(table, row) !== 'model') continue;
      const dtype = dtypeByCode(table.dtypes[row]!);
      const bytes = table.bytes[row]!;
      const elements = ((bytes * 8) / dtype.bits) * perElement(shard, row);
      parameters += elements;
      const { role } = known.of(shard, row);
      totalsOf(dtypes, dtype.name).add(elements, bytes, dtype.name);
      totalsOf(roles, role ?? 'unknown').add(elements, bytes, dtype.name);
    }
  }
  const { layers, mtp: mtpLayers } = layerNumbers(checkpoint, known);
  const { conflicts, expertLayers } = structure(checkpoint, known);
  const { fault: unreadable } = await readConfigText(checkpoint);
  // Nothing of a checkpoint of plain floats looks like codes or scales, and asking 92,000 names takes its
  // time.
  const plain =
    [...dtypes.keys()].every((name) => dtypeByName(name)!.kind === 'float') && !roles.has('quant_scale') && !roles.has('quant_meta');
  const quantised = plain && quantisationConfig(known.config) === null ? null : recogniseQuantised(checkpoint, known.config);
  let tensors: readonly InspectedTensor[] | undefined;
  const nameAt = ({ shard, row }: { readonly shard: number; readonly row: number }) => tensorName(checkpoint, shard, row);
  return {
    schema: 'ckpt-merge/inspect',
    version: 1,
    path,
    summary: {
      kind: checkpoint.kind,
      container: checkpoint.form,
      sections,
      integrity:
        integrity === null || integrity instanceof MergeError ? null : { algorithm: integrity.algorithm, files: integrity.files.size },
      files: tensorFiles(checkpoint),
      beside: await stateBeside(path),
      tensors: ofModel.tensors,
      parameters,
      bytes: ofModel.bytes,
      step: checkpoint.step,
      tokens: checkpoint.tokens,
      dtypes: Object.fromEntries([...dtypes].map(([name, totals]) => [name, totals.total()])),
      family: known.context.family,
      layers: layers.size,
      mtpLayers: mtpLayers.size,
      experts: size.experts,
      expertLayers,
      totalParameters: size.total,
      activeParameters: size.active,
      sizeNotes: size.notes,
      roles: Object.fromEntries(
        [...ROLES, 'unknown' as const].flatMap((role) =>
          roles.has(role) ? [[role, { ...roles.get(role)!.total(), dtypes: [...roles.get(role)!.dtypes] }]] : [],
        ),
      ),
      tied: {
        configured: configuredTie(known.config),
        pairs: tiedPairs(checkpoint, known).map(({ embedding, head, configured }) => ({
          embedding: nameAt(embedding),
          head: nameAt(head),
          same: configured === true ? twice.some((pair) => isAt(pair.head, head) && isAt(pair.embedding, embedding)) : null,
        })),
      },
      quantisation: quantised === null ? null : quantisationSummary(quantised, known),
      problems: [
        ...(integrity instanceof MergeError ? [{ code: integrity.code, message: integrity.message, file: path }] : []),
        ...(unreadable === null ? [] : [unreadable]),
        ...peftConflicts([checkpoint]),
        ...emptyWeights([checkpoint], [known]),
        ...conflicts,
        ...(quantised?.conflicts ?? []),
      ],
      // fromEntries defines own properties, so a key named __proto__ stays a key.
      metadata: Object.fromEntries(checkpoint.shards[0]!.metadata ?? []),
    },
    // Made when it is asked for: at 92,000 tensors the list takes as long as a sixth of everything else.
    get tensors() {
      tensors ??= listTensors(checkpoint, known);
      return tensors;
    },
    warnings: [
      ...checkpoint.warnings,
      ...severalModels(checkpoint),
      ...wrappedNames(checkpoint),
      ...(await missingParts(checkpoint, known)),
    ],
  };
}

function listTensors(checkpoint: Checkpoint, roles: CheckpointRoles): InspectedTensor[] {
  return checkpoint.shards.flatMap(({ tensors }, shard) =>
    tensors.names.map((name, row): InspectedTensor => {
      const { role, mtp, layer, expert } = roles.of(shard, row);
      const bytes = tensors.bytes[row]!;
      const dtype = dtypeByCode(tensors.dtypes[row]!).name;
      const chunks = tensors.boxes === null ? null : chunksOf(checkpoint, shard, row);
      const section = SECTION_WORDS[sectionOf(tensors, row)];
      const file = chunks?.[0]?.file ?? checkpoint.files[tensors.boxes === null ? shard : 0]!.name;
      return {
        name,
        dtype,
        shape: tensors.shapes[row]!,
        bytes,
        file,
        section,
        chunks,
        role,
        layer: whole(layer),
        expert: whole(expert),
        mtp,
      };
    }),
  );
}

class Totals {
  tensors = 0;
  parameters = 0;
  bytes = 0;
  readonly dtypes = new Set<DtypeName>();

  add(parameters: number, bytes: number, dtype: DtypeName): void {
    this.tensors++;
    this.parameters += parameters;
    this.bytes += bytes;
    this.dtypes.add(dtype);
  }

  total(): DtypeTotals {
    return { tensors: this.tensors, parameters: this.parameters, bytes: this.bytes };
  }
}

function totalsOf<K>(totals: Map<K, Totals>, key: K): Totals {
  let found = totals.get(key);
  if (found === undefined) {
    found = new Totals();
    totals.set(key, found);
  }
  return found;
}

function isAt(a: TensorPlace, b: TensorPlace): boolean {
  return a.shard === b.shard && a.row === b.row;
}

/** A tensor that holds all layers, or all experts of one, is of none of them. */
function whole(index: number | 'all' | null): number | null {
  return index === 'all' ? null : index;
}
