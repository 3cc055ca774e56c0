import { DTYPES, type DtypeName } from '../../base/dtype.ts';
import { NO_CONTEXT } from './context.ts';
import { codesOf, NumberScan } from './number-scan.ts';
import { ATTENTION, COMPANIONS, compile, EXPERT_CONTAINERS, FEED_FORWARD, LAYER_CONTAINERS, MTP, RULES, type Rule } from './rules.ts';
import type { Classify, NamingContext, Role, TensorRole } from './types.ts';
import { isScaleInBlock } from './unknown.ts';

/** Beyond this a name is no model's: it stays unknown, so that no pattern runs over a hostile megabyte. */
const MAX_NAME = 512;
/** Kinds of names kept; a model has some dozens. */
const MAX_KINDS = 1 << 16;
/**
 * No router has so many experts, and no router's input is so narrow, that both sides of its matrix are beyond
 * this: such a `gate` is a gated MLP's.
 */
const ROUTER_SIDE = 1024;

/** Kernels of convolutions are rarely wider, and matrices of an expert never so narrow but in tests. */
const KERNEL = 9;

const MATRICES: ReadonlySet<Role | null> = new Set(['attn', 'mlp', 'expert', 'shared_expert', 'ssm', 'lm_head']);

/** What is looked at besides the name, packed into an index. */
const INTEGER = 1;
const STACKED = 2;
const WIDE = 4;
const ONE = 8;
const NARROW = 16;

/** What all names that differ only in their numbers have in common. */
interface Kind {
  readonly role: Role | null;
  readonly of: Role | null;
  /** Which of the name's numbers it is. */
  readonly layer: number | 'all' | null;
  readonly expert: number | 'all' | null;
  /** The expert's number where it is part of a word (`expert_3`, `weight15`), else null. */
  readonly glued: number | null;
  readonly projection: string | null;
  readonly mtp: boolean;
  /** Its layers are counted on from the model's last. */
  readonly mainStack: boolean;
  readonly tower: 'vision' | 'audio' | null;
}

type CompiledRule = Rule & { readonly pattern: RegExp };
const compiled = (rules: readonly Rule[]): readonly CompiledRule[] => rules.map((rule) => ({ ...rule, pattern: compile(rule.name) }));
const ownRules = compiled(RULES);
const companions = COMPANIONS.map((companion) => ({ ...companion, pattern: compile(companion.name) }));
const mtp = compile(MTP);
const layerContainers = compile(LAYER_CONTAINERS);
const experts = compile(EXPERT_CONTAINERS);
const words = (table: Readonly<Record<string, string>>) =>
  new Map(Object.entries(table).flatMap(([projection, names]) => names.split(' ').map((name): [string, string] => [name, projection])));
const PROJECTIONS = { attn: words(ATTENTION), mlp: words(FEED_FORWARD) };

interface KnownKind {
  readonly kind: Kind;
  /** What lies before, between and after the numbers of its names, as UTF-16 codes. */
  readonly literals: readonly Uint16Array[];
  readonly look: number;
  /** The kind of the name that came after one of these. */
  next: KnownKind | null;
}

/**
 * A classifier for the tensors of one model. It is a pure function of name, dtype and shape; names that
 * differ only in layer and expert are worked out once.
 *
 * @param context what the model's configuration says, see {@link namingContext}
 * @param rules tried in this order; the first that fits decides
 */
export function classifier(context: NamingContext = NO_CONTEXT, rules: readonly Rule[] = RULES): Classify {
  const ordered = rules === RULES ? ownRules : compiled(rules);
  const kinds = new Map<number, KnownKind>();
  const numbers = new NumberScan();
  let last: KnownKind | null = null;
  return (name, dtype = null, shape = null): TensorRole => {
    if (name.length > MAX_NAME) return unknownTensor(context.family);
    const look = (dtype !== null && integers.has(dtype) ? INTEGER : 0) | (shape === null ? 0 : lookOf(shape));
    // Kinds follow each other in the same order expert for expert and layer for layer.
    let known: KnownKind | null | undefined = last?.next;
    if (known === null || known === undefined || known.look !== look || !numbers.matches(name, known.literals)) {
      const hash = numbers.read(name, look);
      known = kinds.get(hash);
      if (known === undefined || known.look !== look || !numbers.separates(name, known.literals)) {
        const literals = numbers.literals(name);
        // A `#` that is in the name itself is no number.
        const kind = kindOf(literals.map((text) => text.replaceAll('#', '?')).join('#'), look, context, ordered);
        known = { kind, literals: literals.map(codesOf), look, next: null };
        if (kinds.size >= MAX_KINDS) kinds.clear();
        kinds.set(hash, known);
      }
      if (last !== null) last.next = known;
    }
    last = known;
    const { kind } = known;
    const layer = typeof kind.layer === 'number' ? numbers.values[kind.layer]! : kind.layer;
    return {
      role: kind.role,
      of: kind.of,
      layer,
      expert: kind.glued ?? (typeof kind.expert === 'number' ? numbers.values[kind.expert]! : kind.expert),
      projection: kind.projection,
      mtp: kind.mtp || (kind.mainStack && context.layers !== null && typeof layer === 'number' && layer >= context.layers),
      tower: kind.tower,
      family: context.family,
    };
  };
}

/** One tensor; for many use {@link classifier}. */
export function classify(
  name: string,
  dtype: DtypeName | null = null,
  shape: readonly number[] | null = null,
  context: NamingContext = NO_CONTEXT,
): TensorRole {
  return classifier(context)(name, dtype, shape);
}

function unknownTensor(family: string | null): TensorRole {
  return { role: null, of: null, layer: null, expert: null, projection: null, mtp: false, tower: null, family };
}

const integers: ReadonlySet<DtypeName> = new Set(DTYPES.filter((dtype) => dtype.kind === 'integer').map((dtype) => dtype.name));
const lookOf = (shape: readonly number[]) =>
  (shape.length === 3 && shape[1]! > 1 && shape[2]! > 1 ? (shape[2]! > KERNEL ? STACKED : STACKED | NARROW) : 0) |
  (shape.length === 2 && shape[0]! > ROUTER_SIDE && shape[1]! > ROUTER_SIDE ? WIDE : 0) |
  (shape.every((size) => size === 1) ? ONE : 0);

function kindOf(key: string, look: number, context: NamingContext, rules: readonly CompiledRule[]): Kind {
  for (const { role, pattern, base, projection, ofMatrix, learned, besideAdapters } of companions) {
    const match = pattern.exec(key);
    if (match === null) continue;
    // Where nothing is quantised, a learned parameter is what the rest of its name says.
    const isLearned = learned === true || (learned === 'vectors' && (look & ONE) === 0);
    if (context.codes === false && isLearned) continue;
    if (besideAdapters && context.adapters === false) return kindOf(match[1]!, look, context, rules);
    const fill = (text: string) => text.replaceAll(/\$(\d)/g, (_, group: string) => match[Number(group)] ?? '');
    const owner = base === '' ? null : kindOf(fill(base), look & ~INTEGER, context, rules);
    if (ofMatrix && !MATRICES.has(owner?.role ?? null)) continue;
    if (role === 'codes' || role === 'weight') return { ...owner!, ...placeOf(key, owner!.role) };
    const named = projection === undefined ? (owner?.projection ?? null) : fill(projection).replace('lora_embedding_', 'lora_');
    const of = owner?.of ?? owner?.role ?? null;
    const place = base === '' ? { layer: null, expert: null, glued: null } : placeOf(key, of);
    return {
      role,
      of,
      ...place,
      projection: named,
      mtp: owner?.mtp ?? false,
      mainStack: owner?.mainStack ?? false,
      tower: owner?.tower ?? null,
    };
  }
  const rule = rules.find((candidate) => candidate.pattern.test(key) && holds(candidate, key, look, context));
  // A rule takes all that lies in an MLP; what is called like a scale there is none of its weights.
  const scale = rule !== undefined && isScaleInBlock(key, rule.role, context.codes === true);
  const role = scale ? null : (rule?.role ?? null);
  const place = rule?.layerless ? { layer: null, expert: null, glued: null } : placeOf(key, role);
  const byName = mtp.test(key);
  return {
    role,
    of: null,
    ...place,
    projection: rule === undefined ? null : projectionOf(rule, key),
    mtp: byName,
    // As files in the Hugging Face layout do it (`model.layers.61.`): native ones call such layers `mtp.`,
    // and a decoder may be deeper than its encoder.
    mainStack: !byName && typeof place.layer === 'number' && /\.layers\.#/.test(key) && !/(?:^|\.)(?:encoder|decoder)\./.test(key),
    tower: role === 'vision' || role === 'audio' ? role : null,
  };
}

function holds({ only }: Rule, key: string, look: number, { experts, family }: NamingContext): boolean {
  switch (only) {
    case 'integer':
      return (look & INTEGER) !== 0 && !/\.(?:weight|tid2eid)$/.test(key);
    case 'matrices':
      return experts !== 0 && (look & STACKED) !== 0 && (experts !== null || (look & NARROW) === 0);
    case 'maybe-router':
      return experts !== 0 && (look & WIDE) === 0;
    case 'inference-bias':
      return family !== null && /^(?:deepseek|inkling)/.test(family);
    default:
      return true;
  }
}

function placeOf(key: string, role: Role | null): Pick<Kind, 'layer' | 'expert' | 'glued'> {
  const ordinal = (match: RegExpExecArray | null) =>
    match === null
      ? null
      : key
          .slice(0, match.index + match[0].length)
          .split('.')
          .filter((part) => part === '#').length - 1;
  const layer = ordinal(layerContainers.exec(key)) ?? (/(?:^|\.)(?:layers|blocks)\.(?!#)/.test(key) ? 'all' : null);
  const expert = ordinal(experts.exec(key));
  const word = /(?:^|\.)(?:experts?_?(\d+)(?=\.|$)|\w*experts\..*\.(?:weight|bias|_extra_state)(\d+)$)/.exec(key);
  const glued = word === null ? null : Number(word[1] ?? word[2]);
  const all = role === 'expert' || /(?:^|\.)experts\.experts\./.test(key);
  return { layer, expert: expert ?? (all && glued === null ? 'all' : null), glued: expert === null ? glued : null };
}

function projectionOf({ projection }: Rule, key: string): string | null {
  if (projection === undefined) return null;
  if (typeof projection === 'object') return projection.is;
  if (projection === 'last')
    return (
      key
        .replace(/\.(?:weight|bias|gamma|beta)$/, '')
        .split('.')
        .findLast((part) => part !== '#') ?? null
    );
  const parts = key
    .replace(/(?:[._](?:weight|bias)\d*)+$/, '')
    .split('.')
    .filter((part) => part !== '#');
  const table = PROJECTIONS[projection];
  // Read from the end: `intermediate.dense` before `dense`, then the word, then what holds it.
  for (let i = parts.length - 1; i >= Math.max(0, parts.length - 3); i--) {
    const word = parts[i]!;
    // `attn_q`, `linear_q_proj` and `ffn_gate_exps` say the block's name again.
    const bare = word.replace(/^(?:attn|ffn|linear)_/, '').replace(/_(?:exps|shexp)$/, '');
    const found = table.get(`${parts[i - 1]}.${word}`) ?? table.get(word) ?? table.get(bare) ?? table.get(word.toLowerCase());
    if (found !== undefined) return found;
  }
  return parts.at(-1) ?? null;
}
