import { createHash } from 'node:crypto';
import { MergeError } from '../../base/errors.ts';
import { parseJson } from '../../base/json/parse.ts';
import { worded } from '../../base/option-words.ts';
import { ByteReader } from '../../base/store/byte-reader.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import { dataStart } from '../../checkpoints/tensors/table.ts';

/** A fixed text, whose probabilities under the served model tell its weights from others. */
const CHECKSUM_PROMPT = 'The quick brown fox jumps over the lazy dog. In the year 1905, 3 + 4 = 7; def merge(a, b): return';
const CHECKSUM_TOKENS = 8;
/** Blocks of a file that are looked at to tell weights apart. */
const BLOCKS = 64;
const BLOCK_BYTES = 4096;
const SHOWN_CHARACTERS = 300;
/** Bytes of an answer; one with the log probabilities of a prompt has some kilobytes. */
const MOST_ANSWERED = 2 ** 26;

/** Why a server cannot score a model. */
export class ServerFailure extends Error {
  /** Whether trying again may help: nobody answered, or it said so. */
  readonly temporary: boolean;

  constructor(message: string, temporary: boolean) {
    super(message);
    this.name = 'ServerFailure';
    this.temporary = temporary;
  }
}

/** What the server has loaded. */
interface Loaded {
  readonly model: string;
  readonly weights: string;
}

/**
 * An SGLang server whose weights are replaced from disk for every evaluation, through
 * `POST /update_weights_from_disk` (`{"model_path"}`, answered by `{"success", "message"}` with status 200 or
 * 400; seen in SGLang 0.5.23). It has to see the merges under the same paths, and to load one within the five
 * minutes that Node waits for an answer. A key in `MERGE_SERVER_KEY` is sent as a bearer token.
 */
export class SglangServer {
  readonly url: string;
  #loaded: Loaded | null = null;
  #asked = false;

  /** @param url of the server, without a path */
  constructor(url: string) {
    this.url = url;
  }

  /**
   * Makes the server answer with a model's weights.
   *
   * A fixed prompt is asked before and after: where the weights are not those that were there before and
   * every log probability still is, the server goes on with the old ones.
   *
   * @param model absolute path of a checkpoint
   * @throws ServerFailure; MergeError E_STALE_WEIGHTS, whatever opening the checkpoint throws;
   *   `signal.reason` on an abort
   */
  async load(model: string, signal: AbortSignal): Promise<void> {
    const weights = await weightsDigest(model);
    if (!this.#asked) this.#loaded = await this.#servedAtFirst(signal);
    this.#asked = true;
    const previous = this.#loaded;
    const before = await this.#checksum(signal);
    // Whatever goes wrong from here on, nobody knows what it serves.
    this.#loaded = null;
    const { success, message } = await this.#request('/update_weights_from_disk', signal, { model_path: model, flush_cache: true });
    if (success !== true) throw new ServerFailure(`${this.url} did not load ${model}: ${shown(message ?? 'it says not why')}`, false);
    const after = await this.#checksum(signal);
    if (previous !== null && previous.weights !== weights && before === after) {
      throw new MergeError(
        'E_STALE_WEIGHTS',
        `${this.url} says that it loaded ${model}, and answers a fixed prompt bit for bit as with the other weights of ${previous.model} before`,
        { details: { file: model } },
      );
    }
    this.#loaded = { model, weights };
  }

  /** What it served before the first evaluation, where that is a checkpoint that can be looked at here. */
  async #servedAtFirst(signal: AbortSignal): Promise<Loaded | null> {
    // Servers before 0.5 know the older name only.
    const info = await this.#request('/model_info', signal).catch((error: unknown) => {
      if (error instanceof ServerFailure && !error.temporary) return this.#request('/get_model_info', signal);
      throw error;
    });
    const { model_path: model } = info;
    if (typeof model !== 'string') return null;
    const weights = await weightsDigest(model).catch(() => null);
    return weights === null ? null : { model, weights };
  }

  /** Log probabilities of the prompt, and of what is said to it, as text. */
  async #checksum(signal: AbortSignal): Promise<string> {
    const answer = await this.#request('/generate', signal, {
      text: CHECKSUM_PROMPT,
      sampling_params: { temperature: 0, max_new_tokens: CHECKSUM_TOKENS },
      return_logprob: true,
      logprob_start_len: 0,
    });
    const { meta_info: meta } = answer as { meta_info?: { input_token_logprobs?: unknown; output_token_logprobs?: unknown } };
    const { input_token_logprobs: input, output_token_logprobs: output } = meta ?? {};
    if (!Array.isArray(input) || !Array.isArray(output)) {
      throw new ServerFailure(`${this.url}/generate answers without log probabilities: ${shown(answer)}`, false);
    }
    return JSON.stringify([input, output]);
  }

  async #request(path: string, signal: AbortSignal, body?: object): Promise<Readonly<Record<string, unknown>>> {
    const { MERGE_SERVER_KEY: key } = process.env;
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${this.url}${path}`, {
        signal,
        headers: { 'content-type': 'application/json', ...(key === undefined ? {} : { authorization: `Bearer ${key}` }) },
        ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
      });
      text = await textOf(response);
    } catch (error) {
      signal.throwIfAborted();
      const { cause } = error as { cause?: unknown };
      throw new ServerFailure(`${this.url}${path} does not answer: ${cause instanceof Error ? cause.message : String(error)}`, true);
    }
    let answer: unknown;
    try {
      answer = parseJson(text);
    } catch {
      answer = text;
    }
    // A refusal in the documented form is told with its own words.
    const refused = typeof answer === 'object' && answer !== null && 'success' in answer;
    if (!response.ok && !refused) {
      throw new ServerFailure(`${this.url}${path} answers with status ${response.status}: ${shown(answer)}`, response.status === 503);
    }
    if (typeof answer !== 'object' || answer === null)
      throw new ServerFailure(`${this.url}${path} does not answer in JSON: ${shown(answer)}`, false);
    return answer as Record<string, unknown>;
  }
}

/**
 * The server of `--eval-server sglang=URL`.
 * @throws MergeError E_OPTION for another kind of server, or what is no http URL
 */
export function parseServer(text: string): SglangServer {
  const [, kind, url] = /^(?!https?:)([^=]*)=(.*)$/.exec(text) ?? ['', 'sglang', text];
  const help = worded`Write --eval-server sglang=http://localhost:30000.`;
  if (kind !== 'sglang')
    throw new MergeError('E_OPTION', worded`--eval-server '${text}': of servers, SGLang is known: sglang=URL`, { help });
  if (!URL.canParse(url!) || !/^https?:$/.test(new URL(url!).protocol)) {
    throw new MergeError('E_OPTION', worded`--eval-server '${text}': '${url}' is no http or https URL`, { help });
  }
  return new SglangServer(url!.replace(/\/+$/, ''));
}

/**
 * SHA-256 over samples of a checkpoint's data: headers are left out, since a copy with other metadata has the
 * same weights. Equal digests do not prove equal weights.
 */
async function weightsDigest(path: string): Promise<string> {
  const { shards } = await openCheckpoint(path);
  const hash = createHash('sha256');
  const reader = new ByteReader();
  try {
    for (const { path: file, stat, tensors } of shards) {
      const begin = dataStart(tensors) ?? stat.size;
      const bytes = stat.size - begin;
      const length = Math.min(BLOCK_BYTES, bytes);
      const starts = new Set(Array.from({ length: BLOCKS }, (_, i) => Math.floor((i * (bytes - length)) / (BLOCKS - 1))));
      for (const start of starts) hash.update(await reader.read(file, begin + start, length));
    }
  } finally {
    await reader.close();
  }
  return hash.digest('hex');
}

/** Reads no more of an answer than it may have. @throws Error for a longer one */
async function textOf({ body }: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body ?? []) {
    bytes += part.length;
    if (bytes > MOST_ANSWERED) throw new Error(`its answer has more than ${MOST_ANSWERED} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString();
}

function shown(answer: unknown): string {
  const text = typeof answer === 'string' ? answer : JSON.stringify(answer);
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text;
}
