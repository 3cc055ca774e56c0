import { dtypeByCode, dtypeByName } from '../../../base/dtype.ts';
import type { Conflict } from '../../../base/errors.ts';
import { optionWith, worded } from '../../../base/option-words.ts';
import { sectionOf } from '../../../checkpoints/tensors/section.ts';
import type { TensorPlace } from '../../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { inOrderOf, keysOfModel, stateTensor, weightOf } from '../../../model/roles/optimizer-state.ts';
import { TensorIndex } from '../../../model/roles/tensor-index.ts';
import { policiesOf } from '../../../recipe/policy/keys.ts';
import type { OptimizerUse } from '../../../recipe/policy/resumed.ts';
import type { PolicyTensor, Treatment } from '../../../recipe/policy/types.ts';
import type { OutputFormat } from '../../../recipe/types.ts';
import type { FlatResult } from '../flat/masters.ts';
import { otherForm } from '../flat/proof.ts';
import { masterName } from '../flat/views.ts';
import type { DraftOutput } from '../inputs/drafts.ts';
import { holdsState } from '../inputs/merged-start.ts';
import { keptOptimizer, modelNames, type OutputTreatments } from './treatments.ts';

/** Float32 weights in the optimizer's state, by the weights of the layout. */
export interface Masters {
  /** The master of a tensor, where it is made from that. */
  of(shard: number, row: number): TensorPlace | undefined;
  /** The same, by the tensor's number in the layout. */
  ofNumber(tensor: number): boolean;
  /** Weights that have one. */
  readonly count: number;
  /**
   * Names of weights whose master has its elements in another order, so that they are made from themselves.
   */
  readonly otherwise: readonly string[];
  /** Those whose master lies in a buffer of many weights, by their numbers in the layout. */
  readonly inBuffers: readonly number[];
}

const NO_MASTERS: Masters = { of: () => undefined, ofNumber: () => false, count: 0, otherwise: [], inBuffers: [] };

/**
 * Finds the masters of weights.
 * @param tensors of the layout, in its order
 * @param treatmentsOf how the outputs treat a tensor of the layout
 * @param viewed the layout with what lies in buffers of many weights as tensors of their own
 */
export function mastersOf(
  layout: Pick<Checkpoint, 'shards'>,
  tensors: readonly PolicyTensor[],
  treatmentsOf: (number: number) => readonly Treatment['kind'][],
  viewed?: Pick<Checkpoint, 'shards' | 'locate'>,
): Masters {
  if (!tensors.some(({ state }) => state?.kind === 'master')) return NO_MASTERS;
  const index = new TensorIndex(layout);
  const places = layout.shards.flatMap(({ tensors: table }, shard) => Array.from({ length: table.count }, (_, row) => ({ shard, row })));
  const found = new Map<number, TensorPlace>();
  const otherwise: string[] = [];
  const shapeOf = (number: number): readonly number[] => {
    const { shard, row } = places[number]!;
    return layout.shards[shard]!.tensors.shapes[row]!;
  };
  for (const [i, { state, dtype }] of tensors.entries()) {
    if (state?.kind !== 'master' || state.weight === null || dtypeByName(dtype)!.kind !== 'float' || i >= places.length) continue;
    const { weight } = state;
    if (dtypeByName(tensors[weight]!.dtype)!.kind !== 'float') continue;
    if (!treatmentsOf(weight).every((kind) => kind === 'average' || kind === 'member')) continue;
    if (inOrderOf(shapeOf(weight), shapeOf(i))) found.set(weight, places[i]!);
    else otherwise.push(tensors[weight]!.name);
  }
  const inBuffers: number[] = [];
  for (const [i, { shard, row }] of viewed === undefined ? [] : places.entries()) {
    const { tensors: table } = layout.shards[shard]!;
    const place = sectionOf(table, row) === 'model' ? viewed!.locate(masterName(table.names[row]!)) : undefined;
    if (place === undefined || found.has(i)) continue;
    inBuffers.push(i);
    if (treatmentsOf(i).every((kind) => kind === 'average' || kind === 'member')) found.set(i, place);
  }
  return {
    of: (shard, row) => found.get(index.of(shard, row)),
    ofNumber: (i) => found.has(i),
    count: found.size,
    otherwise,
    inBuffers,
  };
}

/** Names of float32 masters whose elements are in the order of their weights', by the names of those. */
export function masterNames(checkpoint: Pick<Checkpoint, 'shards' | 'locate'>): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const keys = keysOfModel(modelNames(checkpoint));
  const isFloat = ({ shard, row }: TensorPlace): boolean => dtypeByCode(checkpoint.shards[shard]!.tensors.dtypes[row]!).kind === 'float';
  for (const [shard, { tensors }] of checkpoint.shards.entries()) {
    for (const [row, name] of tensors.names.entries()) {
      if (sectionOf(tensors, row) === 'model') continue;
      const state = stateTensor(name);
      if (state.kind !== 'master' || state.flat || !isFloat({ shard, row })) continue;
      const find = (key: string): TensorPlace | undefined => {
        const place = checkpoint.locate(key);
        return place === undefined || sectionOf(checkpoint.shards[place.shard]!.tensors, place.row) !== 'model' ? undefined : place;
      };
      const weight = weightOf(state, find, keys);
      if (weight === null || !isFloat(weight)) continue;
      const table = checkpoint.shards[weight.shard]!.tensors;
      if (inOrderOf(table.shapes[weight.row]!, tensors.shapes[row]!)) found.set(table.names[weight.row]!, name);
    }
  }
  return found;
}

interface StateToCheck {
  readonly layout: Checkpoint;
  readonly members: readonly Checkpoint[];
  readonly drafts: readonly DraftOutput[];
  readonly format: OutputFormat;
  /** Of the layout, in its order, and what members have beyond it. */
  readonly tensors: readonly PolicyTensor[];
  readonly treatments: readonly OutputTreatments[];
  /** Whether weights are made from masters, and those. */
  readonly fromMasters: boolean;
  readonly masters: Masters;
  /** What was found of masters in buffers of many weights; null where there are none, or nothing needs them. */
  readonly inBuffers: FlatResult | null;
}

/**
 * What forbids to keep the trainer's state as it was asked for, each cause once.
 * @returns conflicts, and which of those about tensors that are missing they explain, by member's path
 */
export function stateConflicts({ layout, members, drafts, format, tensors, treatments, fromMasters, masters, inBuffers }: StateToCheck): {
  readonly conflicts: readonly Conflict[];
  readonly explained: ReadonlySet<string>;
} {
  const conflicts: Conflict[] = [];
  const explained = new Set<string>();
  const own = tensors.filter(({ state, extra }) => state !== undefined && !extra);
  // Of most merges none: their tensors are not gone through once more.
  const numbers = new Map(own.length === 0 ? [] : tensors.map((tensor, i) => [tensor, i]));
  const isMaster = ({ state, dtype }: PolicyTensor): boolean => state?.kind === 'master' && dtypeByName(dtype)!.kind === 'float';
  for (const [k, draft] of drafts.entries()) {
    const { output } = draft;
    const optimizer = keptOptimizer(output, holdsState(format, layout));
    const { of, weights, treatments: kinds, members: mine } = treatments[k]!;
    const lacks = (state: readonly PolicyTensor[], what: string, why: string, help: string): void => {
      if (state.length === 0) return;
      for (const m of mine) {
        const member = members[m]!;
        if (!state.some((tensor) => weights[of[numbers.get(tensor)!]!]![m] !== 0)) continue;
        if (state.some(({ name }) => member.locate(name) !== undefined)) continue;
        explained.add(member.path);
        conflicts.push({ code: 'E_NO_OPTIMIZER', message: `${member.path} has no ${what}, ${why}`, file: member.path, help });
      }
    };
    if (inBuffers !== null && 'conflict' in inBuffers && !leavesBuffers(optimizer, layout)) conflicts.push(inBuffers.conflict);
    else if (fromMasters && masters.count === 0 && optimizer === null) {
      const message = `${layout.path} has no float32 masters of its weights, and ${optionWith('weightsFrom', 'master')} makes weights from them`;
      conflicts.push({ code: 'E_NO_OPTIMIZER', message, file: layout.path, help: worded`Use --weights-from model.` });
    }
    if (fromMasters && optimizer === null) {
      const names = own.filter((tensor) => isMaster(tensor) && tensor.state!.weight !== null);
      for (const m of mine) {
        const member = members[m]!;
        if (draft.schedule.weights[mine.indexOf(m)] === 0 || names.length === 0) continue;
        if (names.some(({ name }) => member.locate(name) !== undefined)) continue;
        explained.add(member.path);
        const message = `${member.path} has no float32 masters of its weights, and ${optionWith('weightsFrom', 'master')} makes weights from them`;
        conflicts.push({
          code: 'E_NO_OPTIMIZER',
          message,
          file: member.path,
          help: worded`Use --weights-from model, or leave that member out.`,
        });
      }
    }
    if (optimizer === null) continue;
    if (format === 'torch' && optimizer === 'drop' && stepsElsewhere(own) === 'needed') {
      const message = `${layout.path} has how many steps its optimizer took as numbers, which are not set to 0 in files of torch.save, and moments of zero belong to an optimizer that took none`;
      const help = worded`Use --optimizer newest, or leave out --for resume and start the optimizer anew.`;
      conflicts.push({ code: 'E_LAYOUT_FORM', message, file: layout.path, help });
    }
    const flat = own.filter(({ state }) => state!.flat);
    const proving = flat.some((tensor) => isMaster(tensor) && tensor.dtype === 'F32');
    if (flat.length > 0 && !leavesBuffers(optimizer, layout) && !proving) {
      const message = `${layout.path} keeps its optimizer's state in buffers of many weights (${flat[0]!.name}), and no float32 masters in them, by whose values it is proven which part is of which weight`;
      conflicts.push({ code: 'E_LAYOUT_FORM', message, file: layout.path, tensor: flat[0]!.name, help: otherForm(layout) });
    }
    if (output.weightsFrom === 'model' && own.some(isMaster)) {
      const message = `${output.path}: ${optionWith('weightsFrom', 'model')} with ${optionWith('for', 'resume')}, and the trainer overwrites its weights from the float32 masters in the optimizer's state at the first step`;
      conflicts.push({ code: 'E_OPTION', message, file: output.path, help: worded`Leave out --weights-from, or --for resume.` });
    }
    const averaged = (tensor: PolicyTensor): boolean => kinds[of[numbers.get(tensor)!]!]!.kind === 'average';
    const buffer = flat.find((tensor) => isMaster(tensor) && averaged(tensor));
    const whole = buffer === undefined ? undefined : weights[of[numbers.get(buffer)!]!];
    const apart = masters.inBuffers.find((i) => kinds[of[i]!]!.kind !== 'average' || weights[of[i]!]!.some((w, m) => w !== whole?.[m]));
    if (buffer !== undefined && apart !== undefined) {
      const message = `${output.path}: ${tensors[apart]!.name} has other weights than most, and its master lies among those of others, in ${buffer.name}, of which all are merged with the same`;
      const help = `${worded`Leave out the policies, or --for resume.`} ${otherForm(layout)}`;
      conflicts.push({ code: 'E_POLICY', message, file: layout.path, tensor: tensors[apart]!.name, help });
    }
    lacks(
      own.filter((tensor) => isMaster(tensor) && averaged(tensor)),
      'float32 masters of its weights',
      'which the newest member has',
      worded`Leave it out; or leave out --for resume, which makes the model alone of the weights of all.`,
    );
    const moments = own.filter((tensor) => /moment/.test(tensor.state!.kind) && averaged(tensor));
    lacks(
      moments,
      `optimizer state such as ${moments[0]?.name}`,
      `and ${optionWith('optimizer', 'average')} averages those of all members`,
      worded`Leave it out, or use --optimizer newest.`,
    );
    const nameless = own.find((tensor) => tensor.state!.weight === null && !tensor.state!.flat && averaged(tensor));
    if (nameless !== undefined && policiesOf(output).length > 0) {
      const message = `${layout.path}: nothing says which weight ${nameless.name} is of, and what the optimizer keeps of a weight has to go where the policies of ${output.path} have the weight go`;
      const help = worded`Use --optimizer newest or --optimizer drop, or leave out the policies.`;
      conflicts.push({ code: 'E_POLICY', message, file: layout.path, tensor: nameless.name, help });
    }
    const unknown = own.find((tensor) => !isKnownTo(optimizer, tensor));
    if (unknown !== undefined) {
      const why = optimizer === 'drop' ? 'what it begins with is not known' : 'whether there is a mean of it is not known';
      const message = `${layout.path}: ${unknown.name} (${unknown.dtype}) is a part of the optimizer's state that is not known here: ${why}`;
      const help = worded`Use --optimizer newest, or leave out --for resume and start the optimizer anew.`;
      conflicts.push({ code: 'E_NO_OPTIMIZER', message, file: layout.path, tensor: unknown.name, help });
    }
    if (optimizer === 'average') {
      const second = own.find((tensor) => {
        const weightsOf = weights[of[numbers.get(tensor)!]!]!;
        return tensor.state!.kind === 'second moment' && averaged(tensor) && weightsOf.some((weight) => weight < 0);
      });
      if (second !== undefined) {
        const message = `${output.path}: negative weights can make second moments negative (${second.name}), of which the optimizer takes the root`;
        const help = worded`Use --optimizer newest or --optimizer drop with these weights.`;
        conflicts.push({ code: 'E_WEIGHTS', message, file: output.path, tensor: second.name, help });
      }
      const countOf = ({ objects: all }: Checkpoint): number => all?.find((one) => one.section === 'optimizer')?.count ?? 0;
      for (const m of mine) {
        const member = members[m]!;
        if (explained.has(member.path) || countOf(member) === countOf(layout)) continue;
        const message = `${member.path} has ${countOf(member)} objects of its optimizer beside tensors, and ${layout.path} has ${countOf(layout)}: their groups of parameters, or the optimizers, are not the same`;
        const help = worded`Use --optimizer newest, which takes all of it from one member.`;
        conflicts.push({ code: 'E_LAYOUT_FORM', message, file: member.path, help });
      }
    }
  }
  return { conflicts, explained };
}

/** Whether a choice leaves buffers of many weights out, masters too: of which kind each of DeepSpeed's is, is known. */
export function leavesBuffers(optimizer: OptimizerUse | null | undefined, { fragments }: Pick<Checkpoint, 'fragments'>): boolean {
  return optimizer === 'drop' && fragments === undefined;
}

/**
 * Whether the optimizer's state has to be left out: what is of many weights together cannot be set to 0 in
 * part.
 */
export function leavesOptimizer(tensors: readonly PolicyTensor[]): boolean {
  return tensors.some(({ state, extra }) => state?.flat === true && !state.uniform && !extra);
}

/**
 * Whether it is known what a choice makes of a part of the optimizer's state. A number of its own (NAdam's
 * product of rates) goes with the step, which is copied.
 */
function isKnownTo(optimizer: OptimizerUse, { state, dtype, bytes }: PolicyTensor): boolean {
  const { kind, flat, uniform } = state!;
  if (optimizer === 'newest') return true;
  if (flat && !uniform) return optimizer === 'drop' || kind !== 'other';
  const { kind: of, bits } = dtypeByName(dtype)!;
  if (kind === 'unknown') return optimizer === 'average' && bytes * 8 <= bits;
  return optimizer === 'average' || of === 'float' || !/moment/.test(kind);
}

/**
 * Whether how many steps an optimizer took stands in no tensor beside its moments: `needed` where it divides
 * by what those steps say, as Adam does, and `if there` where it may do without, as SGD and Lion do.
 */
export function stepsElsewhere(tensors: readonly PolicyTensor[]): 'needed' | 'if there' | null {
  const kinds = new Set(tensors.flatMap(({ state, extra }) => (state === undefined || extra ? [] : [state.kind])));
  if (kinds.has('step')) return null;
  if (kinds.has('second moment')) return 'needed';
  return kinds.has('first moment') ? 'if there' : null;
}
