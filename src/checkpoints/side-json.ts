import { isJsonObject, pythonJsonOrNone } from '../base/json/parse.ts';
import { readExactly } from '../base/store/store.ts';
import { type FoundFile, openFound } from './link-ground.ts';

/** What a JSON file speaks of. */
export type JsonTopic = 'quantisation' | 'training' | 'checksums' | 'container';

/** Files whose name says what they are, and whose keys say nothing else. */
const KNOWN =
  /^(config|params|model_config|generation_config|configuration_.*|tokenizer.*|tekken|.*vocab.*|added_tokens|special_tokens_map|.*processor(_config)?|chat_template.*)\.json$/;
/** Longer ones are data of the model's own. */
const MAX_BYTES = 2 ** 20;
/** Objects in a file are looked into where it has no more than these keys. */
const WRAPPED = 4;

const QUANTISATION =
  /(^|\.)(quant_(method|algo|type|mode)|kv_cache_(scheme|quant_algo|scales?|scaling_factors?)|w_?bits?|q_group_size|weight_block_size|((weight|input|output|activation|act|kv|k|v|q|prob)_)?(scales?(_inv)?|scaling_factors?))$/;
/** A checksum as text: of 32 bits and more. */
const CHECKSUM = /^[\da-f]{8,}$/i;
/** How far training was, and how good: of the checkpoint that the file lies in. */
const TRAINING =
  /^((global|train|training|last_train|current|optimizer)_)?(step|steps|iteration|epoch)$|^((train|eval|val|valid|best)_)?loss$|^perplexity$/;

/**
 * What a JSON file that goes by no known name speaks of, by its keys; null where they do not tell. One that
 * cannot be read tells nothing here: whoever copies it says why.
 */
export async function topicOf(name: string, found: FoundFile): Promise<JsonTopic | null> {
  if (!name.endsWith('.json') || KNOWN.test(name) || found.size === 0 || found.size > MAX_BYTES) return null;
  const bytes = Buffer.alloc(found.size);
  const file = await openFound(found);
  try {
    await readExactly(file, bytes, 0);
  } finally {
    await file.close();
  }
  const json = pythonJsonOrNone(bytes.toString());
  if (!isJsonObject(json)) return null;
  const entries = Object.entries(json);
  const inner = entries.length > WRAPPED ? [] : entries.flatMap(([, value]) => (isJsonObject(value) ? Object.keys(value) : []));
  if ([...entries.map(([key]) => key), ...inner].some((key) => QUANTISATION.test(key))) return 'quantisation';
  // Megatron's metadata.json and integrity.json.
  if (typeof json.sharded_backend === 'string') return 'container';
  if (entries.some(([, value]) => isJsonObject(value) && areChecksums(value))) return 'checksums';
  return entries.some(([key, value]) => typeof value === 'number' && TRAINING.test(key)) ? 'training' : null;
}

/**
 * Whether an object says of names, at least one of which looks like that of a file, what their checksums are.
 */
function areChecksums(object: Readonly<Record<string, unknown>>): boolean {
  const entries = Object.entries(object);
  return entries.some(([name]) => name.includes('.')) && entries.every(([, value]) => typeof value === 'string' && CHECKSUM.test(value));
}
