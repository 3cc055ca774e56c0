import type { Conflict } from '../../base/errors.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { type CheckpointRoles, tensorName } from './checkpoint-roles.ts';
import { CONFIG_KEYS, configNumber, languageConfigs } from './model-config.ts';
import { layerStack } from './stack.ts';
import { stackedLayers } from './stacked-layers.ts';
import type { Role } from './types.ts';

/**
 * Last words of stacks that hold a layer for each number; groups of shared layers (ALBERT) and the like do
 * not.
 */
const PLAIN_STACK = /(?:^|\.)(?:layers|layer|h|blocks|block|decoder)$/;

/** Numbered modules, by the name before the number. */
interface Stack {
  readonly layers: Set<number>;
  /** Layers that hold what only multi-token prediction has. */
  readonly prediction: Set<number>;
  /** Those of them that are layers of multi-token prediction. */
  readonly mtp: Set<number>;
  /** They are layers of a transformer or the like, and no convolutions or linear layers one after another. */
  trunk: boolean;
  /** They could be such layers, of an architecture that no rule knows. */
  parts: boolean;
  convolutions: boolean;
}

/** What a layer of a transformer, of a state space model or of a mixture of experts holds as matrices. */
const OF_LAYERS: ReadonlySet<Role | null> = new Set(['attn', 'mlp', 'ssm', 'router', 'expert', 'shared_expert']);
/**
 * A part of a part of a layer, as `.self_attn.q_proj.weight`: `layers.0.weight` is one of a few matrices in a
 * row.
 */
const PART_OF_LAYER = /^\.\d+(?:\.\d+)*\.[^.]+\.(?!(?:weight|bias)$)/;

/**
 * Layers that are not there: holes, layers that the configuration counts, and layers beyond its count that
 * are no multi-token prediction.
 * @returns E_LAYER_MISSING, E_CONFIG_TENSORS
 */
export function layerConflicts(checkpoint: Checkpoint, roles: CheckpointRoles): Conflict[] {
  const { path } = checkpoint;
  const stacks = [...stacksOf(checkpoint, roles)].filter(([name, { trunk }]) => trunk && PLAIN_STACK.test(name));
  const main = stacks.filter(([name]) => !/(?:^|\.)\w*(?:mtp|nextn)\w*(?:\.|$)/.test(name));
  // An encoder and a decoder, or several models in one, have counts of their own.
  const said = main.length === 1 ? configNumber(roles.config, CONFIG_KEYS.layers) : null;
  const conflicts = stacks.flatMap(([name, { layers }]) => {
    // A part of a model may begin anywhere, and some count from 1.
    const whole = layers.has(0) || (said !== null && name === main[0]![0] && !layers.has(said));
    return holes(layers, whole).map(([from, to]): Conflict => missing(path, name, from, to, `and layer ${to + 1} is`));
  });
  if (said === null) return conflicts;
  const [name, { layers, prediction }] = main[0]!;
  const last = [...layers].reduce((a, b) => Math.max(a, b));
  if (last + 1 < said && last + 1 !== attentionLayers(roles))
    conflicts.push(missing(path, name, last + 1, said - 1, `and config.json says ${said} layers`));
  if (!layers.has(0) && last === said) return conflicts;
  const beyond = [...layers].filter((layer) => layer >= said).sort((a, b) => a - b);
  const predicted = predictionLayers(roles);
  if (beyond.length > 0 && (predicted === null ? !beyond.every((layer) => prediction.has(layer)) : beyond.length > predicted)) {
    const more = predicted === null || predicted === 0 ? '' : ` and ${predicted} more of multi-token prediction`;
    const message = `${path}: config.json says ${said} layers${more}, and the tensors have layer ${beyond.at(-1)} in ${name}`;
    conflicts.push({ code: 'E_CONFIG_TENSORS', message, file: path });
  }
  return conflicts;
}

function stacksOf(checkpoint: Checkpoint, roles: CheckpointRoles): Map<string, Stack> {
  const { shards, namesPerFile } = checkpoint;
  const stacks = new Map<string, Stack>();
  const stackOf = layerStack();
  let known: Stack | undefined;
  let [lastName, lastLayer] = ['', -1];
  for (const [s, { tensors }] of shards.entries()) {
    const { names, shapes, count } = tensors;
    for (let row = 0; row < count; row++) {
      const { role, layer, mtp } = roles.of(s, row);
      if (typeof layer !== 'number' || role === 'lora' || role === 'optimizer') continue;
      const tensor = namesPerFile ? tensorName(checkpoint, s, row) : names[row]!;
      const name = stackOf(tensor, layer);
      if (known === undefined || name !== lastName) {
        known = stacks.get(name) ?? {
          layers: new Set(),
          prediction: new Set(),
          mtp: new Set(),
          trunk: false,
          parts: false,
          convolutions: false,
        };
        stacks.set(name, known);
      }
      if (layer !== lastLayer || name !== lastName) known.layers.add(layer);
      if (mtp) known.mtp.add(layer);
      if (!known.trunk) {
        const rank = shapes[row]!.length;
        // SqueezeBERT's matrices are convolutions over one position.
        const matrix = rank === 2 || (rank === 3 && shapes[row]![2] === 1 && (role === 'attn' || role === 'mlp'));
        const part = PART_OF_LAYER.test(tensor.slice(name.length));
        known.parts ||= part;
        known.convolutions ||= !matrix && rank > 2 && role !== 'expert';
        known.trunk = part && OF_LAYERS.has(role) && (matrix || role === 'expert');
      }
      if (role === 'mtp_proj' || (role === 'norm' && /\.(?:enorm|hnorm)\.weight$/.test(tensor))) known.prediction.add(layer);
      [lastName, lastLayer] = [name, layer];
    }
  }
  return stacks;
}

/**
 * Numbers of the layers of a checkpoint, those of multi-token prediction apart. Convolutions one after
 * another are none, whatever they are called.
 */
export function layerNumbers(checkpoint: Checkpoint, roles: CheckpointRoles): { layers: ReadonlySet<number>; mtp: ReadonlySet<number> } {
  const stacks = [...stacksOf(checkpoint, roles).values()];
  const real = stacks.filter(({ trunk, parts, convolutions }) => trunk || (parts && !convolutions));
  const stacked = [...stackedLayers(checkpoint, roles).stacks.values()].map((count) => new Set(Array.from({ length: count }, (_, l) => l)));
  return {
    layers: new Set([...stacked, ...real.map(({ layers, mtp }) => [...layers].filter((layer) => !mtp.has(layer)))].flatMap((l) => [...l])),
    mtp: new Set(stacks.flatMap(({ mtp }) => [...mtp])),
  };
}

/**
 * How many layers of attention a configuration counts that lists MLPs as layers of their own (Dory): its
 * files may hold each with the attention before it. Null where it lists none.
 */
function attentionLayers({ config }: CheckpointRoles): number | null {
  const listed = config === null ? [] : languageConfigs(config).map(({ layer_types: types }) => types);
  const types = listed.find((list): list is unknown[] => Array.isArray(list) && list.includes('mlp'));
  return types === undefined ? null : types.filter((type) => type !== 'mlp').length;
}

/** Null where the configuration does not say, 0 where it says none. */
function predictionLayers({ config }: CheckpointRoles): number | null {
  const said = config === null ? [] : languageConfigs(config).flatMap((c) => CONFIG_KEYS.predictionLayers.map((key) => c[key]));
  const numbers = said.filter((value): value is number => Number.isSafeInteger(value) && (value as number) >= 0);
  return numbers.length === 0 ? null : Math.max(...numbers);
}

/**
 * Missing numbers below the highest, as first and last of each run; before the lowest only where the numbers
 * are all there are.
 */
function holes(layers: ReadonlySet<number>, whole: boolean): [number, number][] {
  const found: [number, number][] = [];
  let next = whole ? 0 : null;
  for (const layer of [...layers].sort((a, b) => a - b)) {
    if (next !== null && layer > next) found.push([next, layer - 1]);
    next = layer + 1;
  }
  return found;
}

function missing(path: string, stack: string, from: number, to: number, why: string): Conflict {
  const which = from === to ? `layer ${from} of ${stack} is` : `layers ${from} to ${to} of ${stack} are`;
  return { code: 'E_LAYER_MISSING', message: `${path}: ${which} not there, ${why}`, file: path };
}
