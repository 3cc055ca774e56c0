import type { Conflict } from '../../base/errors.ts';
import { groupBy } from '../../base/group-by.ts';
import { CONFIG_KEYS, configNumber, languageConfigs, type ModelConfig } from './model-config.ts';
import type { ExpertMatrices, MoeBlock, MoeTensor } from './moe-blocks.ts';

/** What the configuration says of experts. */
export interface ConfiguredExperts {
  /** Null where it says nothing, or not one number for all layers. */
  readonly count: number | null;
  /** Rows of the router beyond them: experts that do nothing, or shared ones. */
  readonly spare: number;
  readonly hidden: number | null;
}

export function configuredExperts(config: ModelConfig | null): ConfiguredExperts {
  return {
    count: configNumber(config, CONFIG_KEYS.experts),
    spare: configNumber(config, CONFIG_KEYS.zeroExperts) ?? sharedInRouter(config),
    hidden: configNumber(config, CONFIG_KEYS.hidden),
  };
}

/** Inkling's routers score the shared experts too. */
function sharedInRouter(config: ModelConfig | null): number {
  const family =
    config !== null && languageConfigs(config).some(({ model_type: type }) => typeof type === 'string' && /^inkling/.test(type));
  return family ? (configNumber(config, CONFIG_KEYS.sharedExperts) ?? 0) : 0;
}

/**
 * Where the tensors of one mixture of experts do not fit each other. What cannot be told from the tensors
 * alone is passed over.
 */
export function moeConflicts(block: MoeBlock, config: ConfiguredExperts, path: string): Conflict[] {
  const { numbered, fused } = block;
  if (numbered.length > 0 && fused.length > 0) return [halfFused(block)];
  const rows = routerRows(block, config);
  if (
    rows !== null &&
    rows === expertsThere(block) &&
    config.count !== null &&
    rows !== config.count &&
    rows !== config.count + config.spare
  ) {
    const { name, file } = block.routers[0]!;
    const why = `layer ${block.layer} has ${rows} experts and a router for as many, and config.json says ${config.count}`;
    return [conflict('E_CONFIG_TENSORS', file, name, why)];
  }
  const wanted = wantedExperts(rows, config);
  const conflicts = numbered.length > 0 ? numberedConflicts(block, wanted, config, path) : fusedConflicts(block, wanted, config);
  if (rows === null || wanted === null) return conflicts;
  const fits = rows === wanted.count || rows === wanted.count + config.spare;
  if (!fits) {
    const { name, file, shape } = block.routers[0]!;
    const why = `the router has shape [${shape.join(', ')}], and ${wanted.source}`;
    conflicts.push(conflict('E_ROUTER_SHAPE', file, name, why));
  }
  return [...conflicts, ...biasConflicts(block, [fits ? rows : wanted.count + config.spare, wanted.count])];
}

interface Wanted {
  readonly count: number;
  /** Who says so, for the message. */
  readonly source: string;
}

/** How many experts there should be: as the configuration says, or the router. */
function wantedExperts(rows: number | null, { count }: ConfiguredExperts): Wanted | null {
  if (count !== null) return { count, source: `config.json says ${count} experts` };
  return rows === null ? null : { count: rows, source: `the router has ${rows} rows` };
}

/** Experts counted by their numbers or by the first axis; null where neither tells. */
export function expertsThere({ numbered, fused }: MoeBlock): number | null {
  if (numbered.length > 0) return 1 + Math.max(...numbered.map(({ highest }) => highest));
  const stacked = fused.find(({ shape }) => shape.length > 2);
  return stacked === undefined ? null : stacked.shape[0]!;
}

/** Rows of the router; null where there is none, or where several matrices make one up. */
export function routerRows({ routers }: MoeBlock, { count, spare, hidden }: ConfiguredExperts): number | null {
  const rows = routers.map(({ name, shape }) => {
    const [a, b] = shape;
    if (shape.length !== 2 || a === undefined || b === undefined) return null;
    // Ernie's multimodal models, Llama 4's own files (`router_DE`) and some others store it as [hidden,
    // experts].
    const transposed =
      /_DE$/.test(name) || (a === hidden && b !== hidden) || (count !== null && a !== count && a !== count + spare && b === count);
    return transposed && b !== hidden ? b : a;
  });
  if (rows.includes(null)) return null;
  if (rows.length === 1) return rows[0]!;
  // `gate.weight` of the text experts and `gate.weight_1` of the image experts.
  const modal =
    routers.every(({ name }) => /\.weight(?:_\d+)?$/.test(name)) &&
    new Set(routers.map(({ name }) => name.replace(/_\d+$/, ''))).size === 1;
  return modal && rows.length > 0 ? rows.reduce((sum, r) => sum! + r!, 0) : null;
}

function numberedConflicts(block: MoeBlock, wanted: Wanted | null, { spare }: ConfiguredExperts, path: string): Conflict[] {
  const conflicts: Conflict[] = [];
  const limit = wanted?.count ?? expertsThere(block)!;
  for (const group of groupBy(block.numbered, ({ prefix }) => prefix).values()) {
    // A name is there once, so as many as there should be and none beyond are all of them.
    if (group.every(({ experts, highest }) => experts.length === limit && highest < limit)) {
      conflicts.push(...group.flatMap((matrices) => shapeConflicts(matrices, block.layer)));
      continue;
    }
    const present = new Set(group.flatMap(({ experts }) => experts));
    const first = group[0]!;
    for (const [from, to] of gaps(present, limit)) {
      const why = wanted === null ? `and there are ${limit - 1 > to ? 'later ones' : 'others'}` : `and ${wanted.source}`;
      const missing = `${first.prefix}${from}${first.suffix}`;
      const which = `${from === to ? `expert ${from}` : `experts ${from} to ${to}`} of layer ${block.layer} ${from === to ? 'is' : 'are'}`;
      conflicts.push(conflict('E_EXPERT_MISSING', path, missing, `${which} not there, ${why}`));
    }
    const beyond = [...present].filter((expert) => expert >= limit + spare).sort((a, b) => a - b);
    if (beyond.length > 0 && wanted !== null) {
      const extra = `${first.prefix}${beyond[0]}${first.suffix}`;
      const others = beyond.length > 1 ? ` and ${beyond.length - 1} more` : '';
      const why = `layer ${block.layer} has expert ${beyond[0]}${others}, and ${wanted.source}`;
      conflicts.push(conflict('E_EXPERT_EXTRA', first.file, extra, why));
    }
    const real = new Set([...present].filter((expert) => expert < limit));
    for (const matrices of group) conflicts.push(...matrixConflicts(matrices, real, block.layer, path));
  }
  return conflicts;
}

/**
 * Experts that lack a matrix most others have, have one that most others lack, or have it in another shape.
 */
function matrixConflicts(matrices: ExpertMatrices, real: ReadonlySet<number>, layer: number, path: string): Conflict[] {
  const { prefix, suffix, file, experts } = matrices;
  const has = new Set(experts);
  const lacking = [...real].filter((expert) => !has.has(expert)).sort((a, b) => a - b);
  const counted = experts.filter((expert) => real.has(expert));
  if (lacking.length > 0 && counted.length * 2 < real.size) {
    const [stray] = counted;
    if (stray === undefined) return [];
    const why = `expert ${stray} of layer ${layer} has this tensor, and ${lacking.length} of ${real.size} experts have none like it`;
    return [conflict('E_EXPERT_EXTRA', file, `${prefix}${stray}${suffix}`, why)];
  }
  const missing = lacking.map((expert) => {
    const why = `expert ${expert} of layer ${layer} lacks this tensor, which ${counted.length} of ${real.size} experts have`;
    return conflict('E_EXPERT_MISSING', path, `${prefix}${expert}${suffix}`, why);
  });
  return [...missing, ...shapeConflicts(matrices, layer)];
}

function shapeConflicts({ prefix, suffix, file, experts, shapes }: ExpertMatrices, layer: number): Conflict[] {
  const [first] = shapes;
  if (shapes.every((shape) => shape === first || (shape.length === first!.length && shape.every((size, axis) => size === first![axis]))))
    return [];
  const inOrder = experts.map((expert, i) => ({ expert, shape: shapes[i]!.join(', ') })).sort((a, b) => a.expert - b.expert);
  const groups = [...groupBy(inOrder, ({ shape }) => shape).values()].sort((a, b) => b.length - a.length);
  // Two kinds, one after the other: experts for text, then for images.
  const changes = inOrder.filter(({ shape }, i) => i > 0 && shape !== inOrder[i - 1]!.shape).length;
  if (groups.length === 2 && changes === 1 && groups[1]!.length > 1) return [];
  return groups.slice(1).flatMap((odd) =>
    odd.map(({ expert, shape }) => {
      const why = `expert ${expert} of layer ${layer} has shape [${shape}], and ${groups[0]!.length} others have [${groups[0]![0]!.shape}]`;
      return conflict('E_EXPERT_SHAPE', file, `${prefix}${expert}${suffix}`, why);
    }),
  );
}

function fusedConflicts(block: MoeBlock, wanted: Wanted | null, { spare }: ConfiguredExperts): Conflict[] {
  if (wanted === null) {
    const counts = new Set(block.fused.filter(({ shape }) => shape.length > 2).map(({ shape }) => shape[0]));
    return counts.size < 2
      ? []
      : [
          conflict(
            'E_EXPERT_SHAPE',
            block.fused[0]!.file,
            block.fused[0]!.name,
            `the tensors of layer ${block.layer} hold ${[...counts].join(' and ')} experts`,
          ),
        ];
  }
  return block.fused.flatMap(({ name, file, shape }): Conflict[] => {
    const [first] = shape;
    if (first === undefined || shape.length < 2) return [];
    // A matrix of all experts, one below the other (DBRX, megablocks), or a bias with a row for each.
    const flat = shape.length === 2 && !/bias/.test(name);
    if (flat ? first % wanted.count === 0 : first === wanted.count || first === wanted.count + spare) return [];
    if (flat)
      return [conflict('E_EXPERT_SHAPE', file, name, `its ${first} rows are no multiple of the ${wanted.count} experts: ${wanted.source}`)];
    const code = first < wanted.count ? 'E_EXPERT_MISSING' : 'E_EXPERT_EXTRA';
    return [conflict(code, file, name, `holds ${first} experts of layer ${block.layer}, and ${wanted.source}`)];
  });
}

/** @param sizes rows of the router; where it has rows beyond the experts, these may have no bias */
function biasConflicts({ biases, layer }: MoeBlock, sizes: readonly number[]): Conflict[] {
  return biases.flatMap(({ name, file, shape }) => {
    // Ernie has a row for each kind of experts.
    if (sizes.includes(shape.at(-1)!) || sizes.includes(shape.reduce((a, b) => a * b, 1))) return [];
    const why = `the bias has shape [${shape.join(', ')}], and the router of layer ${layer} has ${sizes[0]} rows`;
    return [conflict('E_ROUTER_SHAPE', file, name, why)];
  });
}

function halfFused({ numbered, fused, layer }: MoeBlock): Conflict {
  const { prefix, suffix, experts } = numbered[0]!;
  const { name, file } = fused[0] as MoeTensor;
  return conflict(
    'E_HALF_FUSED',
    file,
    name,
    `holds all experts of layer ${layer}, and ${JSON.stringify(`${prefix}${experts[0]}${suffix}`)} one of them`,
  );
}

/**
 * Missing numbers below `limit`, as first and last of each run; their count is bounded by what is there, not
 * by the limit.
 */
function gaps(present: ReadonlySet<number>, limit: number): [number, number][] {
  const found: [number, number][] = [];
  let next = 0;
  for (const expert of [...present].filter((e) => e < limit).sort((a, b) => a - b)) {
    if (expert > next) found.push([next, expert - 1]);
    next = expert + 1;
  }
  if (next < limit) found.push([next, limit - 1]);
  return found;
}

export function conflict(code: Conflict['code'], file: string, tensor: string, problem: string): Conflict {
  return { code, message: `${file}, tensor ${JSON.stringify(tensor)}: ${problem}`, file, tensor };
}
