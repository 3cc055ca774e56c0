import { join } from 'node:path';
import { type Conflict, MergeError, type Warning } from '../../../base/errors.ts';
import { optionName, optionWith } from '../../../base/option-words.ts';
import { mayHoldSteps, withoutSteps } from '../../../checkpoints/containers/dcp/steps.ts';
import type { DcpTemplate, DcpTemplates } from '../../../checkpoints/containers/dcp/template.ts';
import { linkGround, resolveWithin } from '../../../checkpoints/link-ground.ts';
import { sectionOfName } from '../../../checkpoints/tensors/section.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import type { OptimizerUse } from '../../../recipe/policy/resumed.ts';
import { type TreatmentRow, valuesRow } from '../../../recipe/policy/table.ts';
import type { ExtraStateUse } from '../../../recipe/types.ts';
import { otherForm } from '../flat/proof.ts';
import type { FileRange } from './container.ts';

/** What a checkpoint of DCP has beside its tensors: bytes that are copied, or that replace some. */
interface Companion {
  readonly name: string;
  readonly bytes: number;
  readonly part: FileRange | Uint8Array;
}

export interface Companions {
  /** Items that hold no tensor. */
  readonly objects: readonly Companion[];
  /** Files beside it without which its trainer does not take it for a checkpoint. */
  readonly beside: readonly Companion[];
  /** What was done with the items, as the table of treatments has it. */
  readonly rows: readonly TreatmentRow[];
  /** The optimizer's state is left out: it cannot be set to 0 in part. */
  readonly leaves: boolean;
  readonly conflicts: readonly Conflict[];
  readonly warnings: readonly Warning[];
}

export interface CompanionsWanted {
  /** What becomes of the optimizer's state; null where the output is of the model alone. */
  readonly optimizer: OptimizerUse | null;
  readonly extraState: ExtraStateUse | null;
  /** Steps that the optimizer took stand in no tensor, and are to be none, where some are found or in any case. */
  readonly zeroSteps: 'needed' | 'if there' | null;
  /** The optimizer's state is left out whole. */
  readonly withoutOptimizer: boolean;
}

/** Without it Megatron-core loads nothing. */
const NEEDED = /^common_state(?:\/|$)/;
/** Megatron-core's distributed optimizer, gathered on one rank. */
const HOLDS_BUFFERS = /^(?:chained_\d+\.)?optimizer\..*param_state\//;
const EXTRA_STATE = /(?:^|\.)_extra_state\d*(?:\/|$)/;

/** Whether a name is one of TransformerEngine's states. */
function isExtraState(name: string): boolean {
  return EXTRA_STATE.test(name);
}

/**
 * Chooses what of the newest member comes along with its tensors.
 * @param newest the output's own; @param oldest for the states of TransformerEngine
 */
export async function companionsOf(
  newest: Pick<Checkpoint, 'heads' | 'path'>,
  oldest: Pick<Checkpoint, 'heads' | 'path' | 'form'>,
  templates: DcpTemplates,
  { optimizer, extraState, zeroSteps, withoutOptimizer }: CompanionsWanted,
): Promise<Companions> {
  const own = await templates.of(newest);
  const all = itemsOf(own, newest.path);
  const extra = all.filter(({ name }) => isExtraState(name));
  const leaves = optimizer === 'drop' && (withoutOptimizer || all.some(({ name }) => HOLDS_BUFFERS.test(name)));
  const conflicts: Conflict[] = [];
  const others = all.filter(({ name }) => {
    if (isExtraState(name)) return false;
    const section = sectionOfName(name);
    if (optimizer === null) return section === 'model' || NEEDED.test(name);
    return !(leaves && section === 'optimizer');
  });
  let states = extraState === 'drop' ? [] : extra;
  if (extraState === 'oldest' && extra.length > 0) {
    const theirs = new Map(
      oldest.form.kind === 'dcp' ? itemsOf(await templates.of(oldest), oldest.path).map((item) => [item.name, item]) : [],
    );
    const missing = extra.find(({ name }) => !theirs.has(name));
    if (missing === undefined) states = extra.map(({ name }) => theirs.get(name)!);
    else {
      const message = `${missing.name} is missing from ${oldest.path}, and ${optionWith('extraState', 'oldest')} takes it from there`;
      conflicts.push({ code: 'E_TENSOR_MISSING', message, file: oldest.path, tensor: missing.name });
    }
  }
  if (extraState !== null && extra.length === 0) {
    const message = `${newest.path} has no _extra_state of TransformerEngine, and ${optionName('extraState')} is about it`;
    conflicts.push({ code: 'E_OPTION', message, file: newest.path });
  }
  const buffers = all.find(({ name }) => HOLDS_BUFFERS.test(name));
  if (buffers !== undefined && optimizer !== null && optimizer !== 'drop') {
    const message = `${newest.path} keeps its optimizer's state, float32 masters among it, in objects of many weights (${buffers.name}), which are copied whole or not at all`;
    conflicts.push({ code: 'E_LAYOUT_FORM', message, file: newest.path, tensor: buffers.name, help: otherForm({}) });
  }
  const ground = own.beside.length === 0 ? [] : await linkGround(newest.path);
  const beside = await Promise.all(
    own.beside.map(async ({ name, path, bytes }): Promise<Companion> => {
      const found = await resolveWithin(path, ground);
      if ('leadsTo' in found) {
        const message = `${path}: leads to ${found.leadsTo}, outside of the checkpoint and its run, and is not copied from there`;
        conflicts.push({ code: 'E_NOT_READABLE', message, file: path, help: 'Put the file itself in its place.' });
      }
      return { name, bytes, part: { path, offset: 0, length: bytes } };
    }),
  );
  const [objects, files] = zeroSteps === null ? [others, beside] : await withZeroSteps(others, beside, newest.path, zeroSteps === 'needed');
  const rows: TreatmentRow[] = [];
  const row = (state: string, some: readonly Companion[], treatment: string, role: 'optimizer' | null = null): void => {
    if (some.length > 0) rows.push({ role, mtp: false, state, tensors: some.length, bytes: bytesOf(some), treatment, policy: null });
  };
  const valuesOf = (some: readonly Companion[]): void => {
    if (some.length === 0) return;
    rows.push(
      valuesRow(
        'objects',
        some.map(({ name }) => name),
        bytesOf(some),
      ),
    );
  };
  if (optimizer === null) valuesOf(objects);
  else {
    const changed = objects.filter(({ part }, i) => part !== others[i]!.part);
    const same = objects.filter((one) => !changed.includes(one));
    const ofOptimizer = ({ name }: Companion): boolean => sectionOfName(name) === 'optimizer';
    row('objects', same.filter(ofOptimizer), 'bytes of the newest', 'optimizer');
    valuesOf(same.filter((one) => !ofOptimizer(one)));
    row('objects', changed, 'of the newest, no steps taken');
    row('objects', leaves ? all.filter(ofOptimizer) : [], 'left out', 'optimizer');
  }
  if (optimizer !== null || extraState !== null) {
    row('extra state', extra, extraState === 'drop' ? 'left out' : `bytes of the ${extraState === 'oldest' ? 'oldest' : 'newest'}`);
  }
  const warnings: Warning[] = [];
  if (leaves) {
    const message = `${newest.path} keeps its optimizer's state in buffers of many weights, and it is left out: start the optimizer anew (Megatron-core: \`--no-load-optim\`)`;
    warnings.push({ code: 'W_LEFT_OUT', message });
  }
  // As they are there.
  const order = new Map(all.map(({ name }, i) => [name, i]));
  const kept = [...objects, ...states].sort((a, b) => order.get(a.name)! - order.get(b.name)!);
  return { objects: kept, beside: files, rows, leaves, conflicts, warnings };
}

function bytesOf(some: readonly Companion[]): number {
  return some.reduce((sum, { bytes }) => sum + bytes, 0);
}

function itemsOf({ metadata: { blobs, files }, folder }: DcpTemplate, path: string): Companion[] {
  return blobs.names.flatMap((name, i): Companion[] => {
    const [file, offset, length] = [blobs.items.file[i]!, blobs.items.offset[i]!, blobs.items.length[i]!];
    return file < 0 ? [] : [{ name, bytes: length, part: { path: join(path, folder, files[file]!), offset, length } }];
  });
}

/** @throws MergeError E_NO_OPTIMIZER where no step is found that is needed */
async function withZeroSteps(
  objects: readonly Companion[],
  beside: readonly Companion[],
  path: string,
  needed: boolean,
): Promise<[Companion[], Companion[]]> {
  let found = 0;
  const changed = async (one: Companion): Promise<Companion> => {
    if (one.part instanceof Uint8Array || !mayHoldSteps(one.name)) return one;
    const bytes = await withoutSteps(one.part, one.name);
    if (bytes === null) return one;
    found++;
    return { ...one, bytes: bytes.length, part: bytes };
  };
  const made = [await Promise.all(objects.map(changed)), await Promise.all(beside.map(changed))] satisfies [Companion[], Companion[]];
  if (found > 0 || !needed) return made;
  throw new MergeError(
    'E_NO_OPTIMIZER',
    `${path}: how many steps its optimizer took stands nowhere that is known, and moments of zero need it to be none`,
    {
      details: { file: path },
      help: 'Make the merge without it, and start the optimizer anew (Megatron-core: `--no-load-optim`).',
    },
  );
}
