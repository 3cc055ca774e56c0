import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

/** What an update does: `stale` says that it worked and loads nothing. */
export type UpdateMode = 'fine' | 'stale' | 'refuses' | 'hangs' | 'fails' | 'closes';

export interface SglangStub {
  readonly url: string;
  mode: UpdateMode;
  /** Without log probabilities, as an endpoint that only looks alike. */
  plain: boolean;
  /** As servers before 0.5, which know `/get_model_info` only. */
  old: boolean;
  /** Method, path and body of what was asked. */
  readonly asked: {
    readonly method: string;
    readonly path: string;
    readonly body: Record<string, unknown> | null;
    readonly key: string | undefined;
  }[];
}

/**
 * A server that follows the contract of SGLang 0.5.23 (`srt/entrypoints/http_server.py`) as far as weights
 * from disk go. Its log probabilities are those of no model, and are decided by the weights alone.
 */
export async function sglangStub(served: string): Promise<SglangStub> {
  let model = served;
  let weights = weightsOf(served);
  const server = createServer((request, response) => void answer(request, response));
  const stub: SglangStub = { url: '', mode: 'fine', plain: false, old: false, asked: [] };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const body = text === '' ? null : (JSON.parse(text) as Record<string, unknown>);
    const { method, url: path } = request as { method: string; url: string };
    stub.asked.push({ method, path, body, key: request.headers.authorization });
    const reply = (status: number, content: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(content));
    };
    if (method === 'GET' && path === (stub.old ? '/get_model_info' : '/model_info')) {
      reply(200, { model_path: model, tokenizer_path: served, is_generation: true, weight_version: 'default' });
    } else if (method === 'POST' && path === '/generate') {
      const tokens = (salt: string, count: number) =>
        Array.from({ length: count }, (_, i) => [-hashed(`${weights}${salt}${i}`), 100 + i, null]);
      const logprobs = { input_token_logprobs: [[null, 1, null], ...tokens('in', 9)], output_token_logprobs: tokens('out', 8) };
      reply(200, { text: ' merged', meta_info: { id: 'x', prompt_tokens: 10, completion_tokens: 8, ...(stub.plain ? {} : logprobs) } });
    } else if (method === 'POST' && path === '/update_weights_from_disk') update(reply, response, String(body!.model_path));
    else reply(404, { detail: 'Not Found' });
  }

  function update(reply: (status: number, content: unknown) => void, response: ServerResponse, path: string): void {
    if (stub.mode === 'hangs') return;
    if (stub.mode === 'closes') response.destroy();
    else if (stub.mode === 'fails') reply(500, { error: { message: 'CUDA out of memory' } });
    else if (stub.mode === 'refuses') reply(400, { success: false, message: 'Failed to get model loader.', num_paused_requests: 0 });
    else {
      if (stub.mode === 'fine') weights = weightsOf(path);
      model = path;
      reply(200, { success: true, message: 'Succeeded to update model weights.', num_paused_requests: 0 });
    }
  }

  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return Object.assign(stub, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
}

function weightsOf(folder: string): string {
  const bytes = readFileSync(join(folder, 'model.safetensors'));
  return createHash('sha256')
    .update(bytes.subarray(8 + Number(bytes.readBigUInt64LE())))
    .digest('hex');
}

function hashed(text: string): number {
  return createHash('sha256').update(text).digest().readUInt32LE() / 2 ** 30;
}
