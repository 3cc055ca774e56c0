import { dtypeByCode } from '../../base/dtype.ts';
import type { Conflict } from '../../base/errors.ts';
import { groupBy } from '../../base/group-by.ts';
import { worded } from '../../base/option-words.ts';
import { refuse } from '../../base/problems.ts';
import { type Box, BoxTable, tilingText } from '../../checkpoints/tensors/box-table.ts';
import { tilingFault } from '../../checkpoints/tensors/boxes.ts';
import { sectionOf } from '../../checkpoints/tensors/section.ts';
import { locateIn, shardsOf } from '../../checkpoints/tensors/shards.ts';
import { dataBytes } from '../../checkpoints/tensors/table.ts';
import type { TensorTable } from '../../checkpoints/tensors/types.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { classifier } from '../roles/classify.ts';
import type { ModelFacts } from './facts.ts';
import { fill, type Holes, holesOf, Patterns } from './pattern.ts';
import { type BoxedTensor, RearrangeFault, rearranged, type SizeOf, sourceAxes } from './rearrange.ts';
import type { NamedTarget, NameRule, NamesTable, SizeWord } from './types.ts';

/** Tensors that a message names; the rest are counted. */
const SHOWN = 4;

/** Where a tensor lies, and what a rule makes of it. */
interface Found {
  readonly table: TensorTable;
  readonly row: number;
  /** Index into the checkpoint's shards. */
  readonly shard: number;
  readonly rule: NameRule;
  readonly holes: Holes;
}

/** A tensor that is made, with the sources that were met. */
interface Made {
  readonly sources: string[];
  readonly order: readonly [layer: number, rule: number, name: string];
  readonly dtype: number;
  readonly target: NamedTarget;
  shape: readonly number[];
  readonly boxes: Box[];
}

/** How tensors of a checkpoint go by a table, and how many of them it has rules for. */
interface Fit {
  readonly kind: 'sources' | 'targets' | 'neither';
  readonly count: number;
}

/**
 * Whether the tensors of a model are those that a table speaks of, or have the names that it gives already.
 */
export function fitOf(checkpoint: Pick<Checkpoint, 'shards'>, table: NamesTable): Fit {
  const sources = patternsOf(table.rules, ({ from }) => from);
  const targets = patternsOf(table.rules, ({ to }) => to.map(({ name }) => name));
  let [all, from, to] = [0, 0, 0];
  for (const { tensors } of checkpoint.shards) {
    for (let row = 0; row < tensors.count; row++) {
      if (sectionOf(tensors, row) !== 'model') continue;
      const name = tensors.names[row]!;
      all++;
      if (sources.find(name) !== undefined) from++;
      if (targets.find(name) !== undefined) to++;
    }
  }
  if (from < all && to === all) return { kind: 'targets', count: to };
  return { kind: from > 0 ? 'sources' : 'neither', count: from };
}

function patternsOf(rules: readonly NameRule[], names: (rule: NameRule) => readonly string[]): Patterns<NameRule> {
  const patterns = new Patterns<NameRule>();
  for (const rule of rules) for (const name of names(rule)) patterns.add(name, rule);
  return patterns;
}

/**
 * A checkpoint under other names: its model's tensors as a table has them, each as boxes of the very bytes that
 * the files hold, in another order where the table says so. What is none of the model stays as it is.
 *
 * @throws MergeError E_NAMES_UNFIT, with every tensor and rule that does not fit in `details.conflicts`
 */
export function renamed(checkpoint: Checkpoint, table: NamesTable, facts: ModelFacts): Checkpoint {
  return new Renaming(checkpoint, table, facts).run();
}

class Renaming {
  readonly #checkpoint: Checkpoint;
  readonly #table: NamesTable;
  readonly #facts: ModelFacts;
  readonly #rules: readonly NameRule[];
  readonly #conflicts: Conflict[] = [];
  readonly #made = new Map<string, Made>();

  constructor(checkpoint: Checkpoint, table: NamesTable, facts: ModelFacts) {
    this.#checkpoint = checkpoint;
    this.#table = table;
    this.#facts = facts;
    this.#rules = table.rules.filter(({ models }) => models === undefined || facts.model === null || models.includes(facts.model));
  }

  run(): Checkpoint {
    const { found, others } = this.#match();
    this.#checkRules(found);
    this.#refuse();
    const counts = stackCounts(found);
    for (const one of found) this.#place(one, counts);
    this.#checkMade();
    this.#refuse();
    return this.#result(others);
  }

  #refuse(): void {
    const { path } = this.#checkpoint;
    refuse(this.#conflicts, { several: (count) => `${path}: ${this.#table.name} does not fit it in ${count} ways`, code: 'E_NAMES_UNFIT' });
  }

  #fault(message: string, tensor?: string, help?: string): void {
    const { path } = this.#checkpoint;
    this.#conflicts.push({
      code: 'E_NAMES_UNFIT',
      message: `${path}: ${message}`,
      file: path,
      ...(tensor !== undefined && { tensor }),
      ...(help !== undefined && { help }),
    });
  }

  #match(): { found: Found[]; others: Pick<Found, 'table' | 'row' | 'shard'>[] } {
    const patterns = patternsOf(this.#rules, ({ from }) => from);
    const found: Found[] = [];
    const others: Pick<Found, 'table' | 'row' | 'shard'>[] = [];
    const unknown: string[] = [];
    for (const [shard, { tensors }] of this.#checkpoint.shards.entries()) {
      for (let row = 0; row < tensors.count; row++) {
        if (sectionOf(tensors, row) !== 'model') {
          others.push({ table: tensors, row, shard });
          continue;
        }
        const match = patterns.find(tensors.names[row]!);
        if (match === undefined) unknown.push(tensors.names[row]!);
        else found.push({ table: tensors, row, shard, rule: match.of, holes: match.holes });
      }
    }
    if (unknown.length > 0) {
      const { model } = this.#facts;
      const of = model === null || this.#rules.length === this.#table.rules.length ? '' : ` for a model of type ${model}`;
      const have = `${fewOf(unknown)} ${unknown.length === 1 ? 'has' : 'have'}`;
      this.#fault(`${have} no rule in ${this.#table.name}${of}`, unknown[0], correctionHelp(unknown, this.#table));
    }
    return { found, others };
  }

  /** Rules that must fit something: in every layer, where they speak of layers. */
  #checkRules(found: readonly Found[]): void {
    const layersOf = new Map<NameRule, Set<number>>();
    const all = new Set<number>();
    for (const { rule, holes, table, row } of found) {
      const own = layersOf.get(rule) ?? new Set<number>();
      layersOf.set(rule, own);
      const at = holes.get('layer');
      const stacked = at === undefined ? this.#stackedLayers(rule, table.shapes[row]!) : null;
      for (const layer of at === undefined ? (stacked ?? []) : [at]) {
        own.add(layer);
        all.add(layer);
      }
    }
    const count = all.size === 0 ? 0 : Math.max(...all) + 1;
    const wanted = this.#facts.sizes.get('layers');
    if (all.size > 0 && wanted !== undefined && wanted !== count) {
      this.#fault(`it has ${count} layers, and ${this.#facts.said} says ${wanted}`);
    }
    // Several rules may make one tensor, one for each way of saving it.
    const makers = groupBy(
      this.#rules.filter(({ to }) => to.length > 0),
      ({ to }) => to.map(({ name }) => name).join(' '),
    );
    for (const rules of makers.values()) {
      if (rules.some(({ optional }) => optional === true)) continue;
      const met = rules.filter((rule) => layersOf.has(rule));
      const what = rules.flatMap(({ from }) => from).join(' or ');
      if (met.length === 0) {
        if (rules.some(({ optional }) => optional === 'tied') && this.#facts.tied !== false) continue;
        const tied = rules.some(({ optional }) => optional === 'tied')
          ? `, and ${this.#facts.said} says that the embeddings are not tied`
          : '';
        this.#fault(
          `no tensor fits the rule for ${what}${tied}`,
          undefined,
          'Where checkpoints may lack it, say `optional: true` in the rule.',
        );
        continue;
      }
      if (!rules.every(({ to }) => to.every(({ name }) => holesOf(name).includes('layer')))) continue;
      const layers = new Set(met.flatMap((rule) => [...layersOf.get(rule)!]));
      const missing = Array.from({ length: count }, (_, i) => i).filter((layer) => !layers.has(layer));
      if (missing.length > 0) this.#fault(`layer ${fewOf(missing.map(String))} has no tensor for the rule for ${what}`);
    }
  }

  /** The layers of a tensor that has them on an axis. */
  #stackedLayers({ axes, to }: NameRule, shape: readonly number[]): number[] | null {
    if (axes === undefined || !to.some(({ name }) => holesOf(name).includes('layer'))) return null;
    try {
      const size = sourceAxes(axes, shape, this.#sizeOf).get('layer')?.size ?? 0;
      return Array.from({ length: size }, (_, i) => i);
    } catch (error) {
      // Told of the tensor itself.
      if (error instanceof RearrangeFault) return null;
      throw error;
    }
  }

  readonly #sizeOf: SizeOf = (word: SizeWord): number => {
    if (typeof word === 'number') return word;
    const size = this.#table.sizes.get(word) ?? this.#facts.sizes.get(word);
    if (size !== undefined) return size;
    throw new RearrangeFault(
      `needs ${word}, which ${this.#facts.said === null ? 'nothing says' : `neither ${this.#table.name} nor ${this.#facts.said} says`}`,
    );
  };

  #place({ table, row, shard, rule, holes }: Found, counts: StackCounts): void {
    const source = table.names[row]!;
    const dtype = dtypeByCode(table.dtypes[row]!);
    const tensor: BoxedTensor = { shape: table.shapes[row]!, boxes: boxesOf(table, row, shard) };
    try {
      if (rule.axes !== undefined && dtype.bits % 8 !== 0)
        throw new RearrangeFault(`is ${dtype.name}, several of which are a byte, and cannot be put in another order`);
      for (const target of rule.to) {
        const free = holesOf(target.name).filter((hole) => !holes.has(hole));
        const stacked = new Map(
          [...holes].flatMap(([hole, at]) => {
            const count = counts.get(stackKey(target, holes))?.get(hole);
            return count === undefined ? [] : [[hole, { at, count }] as const];
          }),
        );
        const axes = rule.axes;
        const sizes = axes === undefined ? null : sourceAxes(axes, tensor.shape, this.#sizeOf);
        for (const indices of combinations(free.map((hole) => [hole, sizes!.get(hole)!.size] as const))) {
          const made =
            axes === undefined
              ? tensor
              : rearranged(tensor, axes, target, { indices, stacked }, { sizeOf: this.#sizeOf, bytes: dtype.bits / 8 });
          this.#add(fill(target.name, new Map([...holes, ...indices])), source, target, rule, made, {
            dtype: dtype.code,
            layer: indices.get('layer') ?? holes.get('layer') ?? -1,
            isStacked: stacked.size > 0,
          });
        }
      }
    } catch (error) {
      if (!(error instanceof RearrangeFault)) throw error;
      this.#fault(
        `tensor ${source} ${error.message}`,
        source,
        worded`Numbers of heads and the like are in config.json: name one with --config, or say them in a names file, under sizes.`,
      );
    }
  }

  #add(
    name: string,
    source: string,
    target: NamedTarget,
    rule: NameRule,
    { shape, boxes }: BoxedTensor,
    { dtype, layer, isStacked }: { readonly dtype: number; readonly layer: number; readonly isStacked: boolean },
  ): void {
    const before = this.#made.get(name);
    if (before === undefined) {
      const order = [layer, this.#table.rules.indexOf(rule), name] as const;
      this.#made.set(name, { sources: [source], order, dtype, target, shape, boxes: [...boxes] });
      return;
    }
    if (!isStacked || before.target !== target) {
      this.#fault(`tensors ${before.sources[0]} and ${source} would both be ${name}`, source);
      return;
    }
    const same = before.dtype === dtype && before.shape.join() === shape.join();
    if (!same) this.#fault(`tensors ${before.sources[0]} and ${source} are parts of ${name} and differ in dtype or shape`, source);
    before.sources.push(source);
    for (const box of boxes) before.boxes.push(box);
  }

  #checkMade(): void {
    if (this.#conflicts.length > 0) return;
    for (const [name, { shape, boxes, sources }] of this.#made) {
      const found = tilingFault({
        shape,
        count: boxes.length,
        start: (box, axis) => boxes[box]!.start[axis]!,
        size: (box, axis) => boxes[box]!.size[axis]!,
      });
      if (found !== null) this.#fault(`${name}, which is made of ${fewOf(sources)}, ${tilingText(found, shape)}`, sources[0]);
    }
    this.#checkSizes();
  }

  /** Sizes of a configuration that the tensors show, too: a library makes its model by the former. */
  #checkSizes(): void {
    const { sizes, said } = this.#facts;
    const embedding = this.#made.get('model.embed_tokens.weight')?.shape;
    if (embedding === undefined) return;
    for (const [word, value] of [
      ['vocab_size', embedding[0]],
      ['hidden', embedding[1]],
    ] as const) {
      const wanted = sizes.get(word);
      if (wanted === undefined || wanted === value) continue;
      const more = word === 'vocab_size' && wanted < value! ? ': the rest may be padding, which the table does not cut off' : '';
      this.#fault(`model.embed_tokens.weight is [${embedding.join(', ')}], and ${said} says ${word} ${wanted}${more}`);
    }
    const rows = (name: string): number | undefined => this.#made.get(`model.layers.0.${name}.weight`)?.shape[0];
    for (const [name, heads] of HEADS) {
      const [found, count, each] = [rows(`self_attn.${name}`), sizes.get(heads), sizes.get('head_dim')];
      if (found === undefined || count === undefined || each === undefined || found === count * each) continue;
      this.#fault(`${name} has ${found} rows, and ${said} says ${heads} ${count} and head_dim ${each}`);
    }
    for (const [name, word] of ROWS) {
      const [found, wanted] = [rows(name), sizes.get(word)];
      if (found === undefined || wanted === undefined || found === wanted) continue;
      this.#fault(`${name} of layer 0 has ${found} rows, and ${said} says ${word} ${wanted}`);
    }
  }

  #result(others: readonly Pick<Found, 'table' | 'row' | 'shard'>[]): Checkpoint {
    const boxes = new BoxTable();
    const made = [...this.#made].sort(([, a], [, b]) => compareOrder(a.order, b.order));
    // Those of no layer that the table names before its layers come first, the others last.
    for (const [name, { dtype, shape, boxes: parts }] of inOrder(made, this.#table)) {
      const tensor = { dtype: dtypeByCode(dtype), shape, section: 'model' as const };
      for (const box of parts) boxes.add(name, tensor, box);
    }
    for (const { table, row, shard } of others) {
      const tensor = { dtype: dtypeByCode(table.dtypes[row]!), shape: table.shapes[row]!, section: sectionOf(table, row) };
      for (const box of boxesOf(table, row, shard)) boxes.add(table.names[row]!, tensor, box);
    }
    const { files } = this.#checkpoint;
    const table = boxes.table((name, text) => new RangeError(`${name} ${text}`));
    const shards = shardsOf(table, files);
    return {
      ...this.#checkpoint,
      stored: this.#checkpoint.shards,
      shards,
      tensorCount: table.count,
      bytes: dataBytes(shards),
      indexMetadata: null,
      indexName: null,
      locate: locateIn(shards),
    };
  }
}

/** Matrices of a layer of transformers, and the words for their rows: of heads times what each has, and as they are. */
const HEADS = [
  ['q_proj', 'heads'],
  ['k_proj', 'kv_heads'],
  ['v_proj', 'kv_heads'],
] as const;
const ROWS = [
  ['mlp.gate_proj', 'ffn'],
  ['mlp.experts.0.gate_proj', 'expert_ffn'],
  ['block_sparse_moe.experts.0.w1', 'ffn'],
  ['mlp.gate', 'experts'],
  ['block_sparse_moe.gate', 'experts'],
] as const;

/** By what a target is made of, the number of places of each axis that its sources make. */
type StackCounts = ReadonlyMap<string, ReadonlyMap<string, number>>;

/** What the sources of one stack have in common. */
function stackKey({ name }: NamedTarget, holes: Holes): string {
  return fill(name, holes);
}

function stackCounts(found: readonly Found[]): StackCounts {
  const counts = new Map<string, Map<string, number>>();
  for (const { rule, holes } of found) {
    for (const target of rule.to) {
      const own = holesOf(target.name);
      for (const [hole, at] of holes) {
        if (own.includes(hole)) continue;
        const key = stackKey(target, holes);
        const sizes = counts.get(key) ?? new Map<string, number>();
        sizes.set(hole, Math.max(sizes.get(hole) ?? 0, at + 1));
        counts.set(key, sizes);
      }
    }
  }
  return counts;
}

function* combinations(axes: readonly (readonly [name: string, size: number])[]): Generator<ReadonlyMap<string, number>> {
  const [first, ...others] = axes;
  if (first === undefined) {
    yield new Map();
    return;
  }
  for (let at = 0; at < first[1]; at++) for (const rest of combinations(others)) yield new Map([[first[0], at], ...rest]);
}

function boxesOf({ boxes, shapes, offset }: TensorTable, row: number, shard: number): Box[] {
  const shape = shapes[row]!;
  const rank = shape.length;
  if (boxes === null) {
    const stride = shape.map((_, axis) => shape.slice(axis + 1).reduce((n, size) => n * size, 1));
    return [{ file: shard, offset: offset[row]!, start: shape.map(() => 0), size: shape, stride }];
  }
  const own: Box[] = [];
  for (let box = boxes.first[row]!; box < boxes.first[row + 1]!; box++) {
    const at = boxes.boundsAt[row]! + (box - boxes.first[row]!) * 3 * rank;
    const part = (kind: number): number[] => [...boxes.bounds.subarray(at + kind * rank, at + (kind + 1) * rank)];
    own.push({ file: boxes.file[box]!, offset: boxes.offset[box]!, start: part(0), size: part(1), stride: part(2) });
  }
  return own;
}

function compareOrder(a: Made['order'], b: Made['order']): number {
  return a[0] - b[0] || a[1] - b[1] || a[2].localeCompare(b[2], 'en', { numeric: true });
}

/** What stands before the layers of a table, layer by layer, and the rest. */
function inOrder(made: readonly [string, Made][], { rules }: NamesTable): [string, Made][] {
  const firstOfLayers = rules.findIndex(({ to }) => to.some(({ name }) => holesOf(name).includes('layer')));
  const rank = ({ order: [layer, rule] }: Made): number => (layer >= 0 ? 1 : rule < firstOfLayers ? 0 : 2);
  return made.toSorted(([, a], [, b]) => rank(a) - rank(b));
}

/**
 * What to do where all that has no rule are biases that correct which experts are chosen, which trainers add to
 * models that have none in transformers.
 */
function correctionHelp(names: readonly string[], { name: table }: NamesTable): string | undefined {
  const classify = classifier();
  if (!names.every((name) => classify(name, 'F32', [1]).role === 'router_correction_bias')) return undefined;
  const rules = new Set(names.map((name) => `- drop: ${name.replace(/\b\d+\b/, '{layer}')}`));
  return `They change which experts are chosen, and the model has no such bias in transformers. To leave them out, as a trainer's own conversion may do, and accept what that changes: merge names ${table} > own.yaml, add the rule${rules.size === 1 ? '' : 's'} ${[...rules].join(' and ')}, and take that file for the names.`;
}

function fewOf(names: readonly string[]): string {
  const more = names.length - SHOWN;
  return more > 0 ? `${names.slice(0, SHOWN).join(', ')} and ${more} more` : names.join(', ');
}
