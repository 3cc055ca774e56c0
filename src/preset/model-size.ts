import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openCheckpoint } from '../checkpoint/open.ts';
import type { Checkpoint } from '../checkpoint/types.ts';
import { dtypeByCode } from '../dtype.ts';
import { elementCount } from '../safetensors/tensor-table.ts';

/** How large a model is, as far as configuration and tensors say. */
export interface ModelSize {
  /** Parameters, each once: elements of float tensors, without a second copy of tied embeddings. */
  readonly total: number;
  /** Parameters that act on one token. As `total` for a dense model, and where the configuration does not say how many experts act. */
  readonly active: number;
  /** Experts of a layer, and how many of them a token is sent to (null where unknown); null for a dense model. */
  readonly experts: { readonly count: number; readonly perToken: number | null } | null;
  /** Where configuration and tensors leave something open, a line each. */
  readonly notes: readonly string[];
}

/** Spellings of the number of routed experts, and of how many a token is sent to, in the configurations of transformers' models. */
const EXPERTS = ['num_experts', 'num_local_experts', 'n_routed_experts', 'moe_num_experts'];
const PER_TOKEN = ['num_experts_per_tok', 'num_experts_per_token', 'experts_per_token', 'top_k_experts', 'moe_top_k', 'moe_k', 'moe_topk'];

/** As a whole component of the name: `shared_experts.` act on every token. */
const NUMBERED = /(?:^|\.)experts\.(?:expert_)?(\d+)\./;
const FUSED = /(?:^|\.)experts(?:\.|$)/;

/**
 * Total and active parameters of a checkpoint: active = total − routed · (1 − k/E), with `routed` the parameters of the E routed experts, of which k act on
 * a token. Routed experts are tensors called `experts.N.…`, or `experts.…` with E (or E times something) as their first dimension; routers and shared experts are not among them.
 * Reads headers and config.json.
 * @throws MergeError whatever `openCheckpoint` throws
 */
export async function modelSize(path: string): Promise<ModelSize> {
  const checkpoint = await openCheckpoint(path);
  return countParameters(checkpoint, await readModelConfig(checkpoint));
}

/** config.json of a checkpoint that is a folder; null where there is none, or none that can be read. */
export async function readModelConfig({
  kind,
  path,
}: Pick<Checkpoint, 'kind' | 'path'>): Promise<Readonly<Record<string, unknown>> | null> {
  const text = kind === 'folder' ? await readFile(join(path, 'config.json'), 'utf8').catch(() => null) : null;
  return text === null ? null : parseObject(text);
}

/** {@link modelSize} from an open checkpoint and its configuration; null where there is none. */
export function countParameters(
  checkpoint: Pick<Checkpoint, 'shards' | 'locate'>,
  config: Readonly<Record<string, unknown>> | null,
): ModelSize {
  const notes: string[] = [];
  if (config === null) notes.push('no config.json that can be read, so the size of the model is taken from its tensors alone');
  const configs = config === null ? [] : [config, ...Object.values(config).filter(isObject)];
  const configured = firstNumber(configs, EXPERTS);
  const perToken = firstNumber(configs, PER_TOKEN);
  let total = 0;
  let routed = 0;
  let highest = -1;
  for (const { header } of checkpoint.shards) {
    const { names, shapes, dtypes, count } = header.tensors;
    for (let row = 0; row < count; row++) {
      if (dtypeByCode(dtypes[row]!).kind !== 'float') continue;
      const [name, shape] = [names[row]!, shapes[row]!];
      const size = elementCount(shape);
      total += size;
      const expert = NUMBERED.exec(name)?.[1];
      if (expert !== undefined) highest = Math.max(highest, Number(expert));
      if (expert !== undefined || (configured !== null && (shape[0] ?? 1) % configured === 0 && FUSED.test(name))) routed += size;
    }
  }
  total -= tiedCopy(checkpoint, configs);

  const count = configured ?? (highest >= 0 ? highest + 1 : null);
  if (count === null || count <= 1) return { total, active: total, experts: null, notes };
  if (routed === 0) {
    notes.push(`config.json speaks of ${count} experts and no tensor looks like one, so all parameters count as active`);
    return { total, active: total, experts: { count, perToken }, notes };
  }
  if (perToken === null || perToken > count) {
    notes.push(`the model has ${count} experts and config.json does not say how many act on a token, so all parameters count as active`);
    return { total, active: total, experts: { count, perToken: null }, notes };
  }
  return { total, active: Math.round(total - routed * (1 - perToken / count)), experts: { count, perToken }, notes };
}

/** Elements of an output head that is stored beside the embedding it is tied to. */
function tiedCopy(
  { shards, locate }: Pick<Checkpoint, 'shards' | 'locate'>,
  configs: readonly Readonly<Record<string, unknown>>[],
): number {
  const head = locate('lm_head.weight');
  if (head === undefined || !configs.some((config) => config.tie_word_embeddings === true)) return 0;
  return elementCount(shards[head.shard]!.header.tensors.shapes[head.row]!);
}

function firstNumber(configs: readonly Readonly<Record<string, unknown>>[], keys: readonly string[]): number | null {
  const values = configs.flatMap((config) => keys.map((key) => config[key]));
  return values.find((value): value is number => Number.isSafeInteger(value) && (value as number) > 0) ?? null;
}

function parseObject(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
