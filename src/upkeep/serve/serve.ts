import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { errnoOf } from '../../base/disk/errno.ts';
import { MergeError } from '../../base/errors.ts';
import { hostOf, listenAddress, ownHosts, urlOf } from './address.ts';
import { listPage } from './list-page.ts';
import { type RequestPath, requestPath, urlPath } from './request-path.ts';
import { isServedName, openFolder, openServed, type ServedFile } from './served-file.ts';
import { checkedToken, Gate } from './token.ts';

export interface ServeOptions {
  /** Folder whose pages are shown. It need not be there yet. */
  readonly folder: string;
  /** `ADDRESS:PORT`, or a port alone, which is of 127.0.0.1; any free port of that by default. */
  readonly address?: string | undefined;
  /**
   * What readers have to know: as `?token=` of the first request, or as a bearer. Needed where the address can be
   * reached from other machines. 16 to 512 letters, digits and `-._~`.
   */
  readonly token?: string | undefined;
  /** Ends the server, as `close` does. */
  readonly signal?: AbortSignal | undefined;
}

/** A server at work. */
export interface FolderServer {
  /** Where it listens, without the token. */
  readonly url: string;
  /** Ends it, and all that is being sent. More than one call does no harm. */
  close(): Promise<void>;
}

/** What a server spends on its readers at most. */
export interface ServeLimits {
  readonly headerBytes: number;
  /** Milliseconds for a request to be complete; without anything being sent or read; and for an answer in all. */
  readonly requestMs: number;
  readonly idleMs: number;
  readonly answerMs: number;
  readonly connections: number;
  /** Answers at a time; the next ones are told to come again. */
  readonly answers: number;
  /** Requests a second, and how many at once before that counts: the others wait for their turn. */
  readonly perSecond: number;
  readonly burst: number;
}

/** Pages are some hundred kilobytes: whoever takes longer for one than this is gone, or means harm. */
export const SERVE_LIMITS: ServeLimits = {
  headerBytes: 8192,
  requestMs: 10_000,
  idleMs: 20_000,
  answerMs: 120_000,
  connections: 64,
  answers: 16,
  // A page costs about a millisecond of the process that may be merging.
  perSecond: 50,
  burst: 50,
};

/** Of a file, what is read at a time, bytes. */
const PIECE = 65_536;
const REQUESTS_A_CONNECTION = 1000;
/** Milliseconds that a request waits for its turn at most: whoever sends more than that is dropped. */
const LONGEST_TURN = 5000;

/** Of every answer. A page brings a stricter policy of its own, by hash; both hold. */
const HEADERS: Readonly<Record<string, string>> = {
  'Cache-Control': 'no-store',
  'Content-Security-Policy':
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
};

const REASONS = {
  400: 'This is no request that a folder of pages can answer.',
  401: 'A token is needed: open the address with ?token=… once, or send it as Authorization: Bearer ….',
  404: 'There is no such page here.',
  405: 'Pages can only be read: GET and HEAD.',
  414: 'The path is longer than any page has.',
  421: 'This server goes by another name: open it by the address that it printed, by localhost, or by the name of its machine.',
  500: 'The file could not be read.',
  503: 'Too many are reading at once: try again in a moment.',
} as const;
type Refusal = keyof typeof REASONS;

/**
 * Serves the pages of a folder, and the data beside them, to read: what this program wrote and nothing else, through no
 * link and no hidden name. For this machine alone, unless another address is named together with a token.
 *
 * @throws MergeError E_OPTION for the address, a token that is none, and an address that other machines reach without
 *   a token; E_LISTEN where it cannot be listened at; `signal.reason` where that is aborted already
 * @example const { url, close } = await serveFolder({ folder: 'best.search', address: '127.0.0.1:8000' });
 */
export function serveFolder(options: ServeOptions): Promise<FolderServer> {
  return serveWithin(options, SERVE_LIMITS);
}

/** {@link serveFolder} within other limits. */
export async function serveWithin(
  { folder, address = '127.0.0.1:0', token, signal }: ServeOptions,
  limits: ServeLimits,
): Promise<FolderServer> {
  signal?.throwIfAborted();
  if (token !== undefined) checkedToken(token, 'the token given');
  const place = await listenAddress(address);
  if (!place.isLoopback && token === undefined) {
    throw new MergeError('E_OPTION', `${address} can be reached from other machines, and no token is given`, {
      help: 'Listen at 127.0.0.1 and reach it by ssh -L; or give a token: the command line takes it from a file, or from MERGE_SERVE_TOKEN in the environment.',
    });
  }
  const server = createServer({
    maxHeaderSize: limits.headerBytes,
    requestTimeout: limits.requestMs,
    headersTimeout: limits.requestMs,
    keepAliveTimeout: limits.idleMs,
    connectionsCheckingInterval: Math.min(1000, limits.requestMs),
    // Answered by ourselves, as every other request is.
    requireHostHeader: false,
  });
  server.maxConnections = limits.connections;
  server.maxRequestsPerSocket = REQUESTS_A_CONNECTION;
  server.setTimeout(limits.idleMs);
  server.on('clientError', refuseMalformed);
  await listening(server, place.ip, place.port, address);
  // Such as too many open files: the next connection may be taken.
  server.on('error', () => {});
  const { port } = server.address() as AddressInfo;
  const answers = new Answers({ folder, hosts: ownHosts(place), gate: new Gate(token, port), limits });
  server.on('request', (request, response) => answers.take(request, response));
  let closed: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closed ??= new Promise((done) => {
      signal?.removeEventListener('abort', onAbort);
      server.close(() => done());
      server.closeAllConnections();
    });
    return closed;
  };
  const onAbort = () => void close();
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted) {
    await close();
    signal.throwIfAborted();
  }
  return { url: urlOf(place, port), close };
}

function listening(server: Server, host: string, port: number, address: string): Promise<void> {
  return new Promise((done, failed) => {
    const onError = (cause: Error) => {
      const errno = errnoOf(cause);
      const why =
        errno === 'EADDRINUSE'
          ? 'another program listens there'
          : errno === 'EACCES'
            ? 'this user may not (ports below 1024 are mostly for root)'
            : errno === 'EADDRNOTAVAIL'
              ? 'this machine has no such address'
              : cause.message;
      failed(new MergeError('E_LISTEN', `${address} cannot be listened at: ${why}`, { ...(errno && { details: { errno } }), cause }));
    };
    server.once('error', onError);
    server.listen({ host, port, exclusive: true }, () => {
      server.off('error', onError);
      done();
    });
  });
}

/** What could not be understood as a request is told so, and its connection ends. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const status =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? '431 Request Header Fields Too Large'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? '408 Request Timeout'
        : '400 Bad Request';
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
}

interface AnswerTools {
  readonly folder: string;
  readonly hosts: ReadonlySet<string>;
  readonly gate: Gate;
  readonly limits: ServeLimits;
}

class Answers {
  readonly #tools: AnswerTools;
  readonly #busy = new WeakSet<Socket>();
  #underWay = 0;
  /** When the next request has its turn, if it comes after others. */
  #turn = Number.NEGATIVE_INFINITY;

  constructor(tools: AnswerTools) {
    this.#tools = tools;
  }

  take(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    // Readers leave at any moment, and writing to one who has left must not end the work beside the server.
    response.on('error', () => {});
    request.on('error', () => {});
    const wait = this.#untilTurn();
    // One after the other: an answer that waits for another one on its connection is never told when that ends.
    if (this.#busy.has(socket) || wait > LONGEST_TURN) {
      socket.destroy();
      return;
    }
    this.#busy.add(socket);
    const after: (() => void)[] = [() => this.#busy.delete(socket)];
    const end = () => {
      response.off('close', end);
      socket.off('close', end);
      for (const work of after.splice(0)) work();
    };
    response.on('close', end);
    socket.on('close', end);
    if (wait > 0) setTimeout(() => this.#begin(request, response, after), wait).unref();
    else this.#begin(request, response, after);
  }

  /** Milliseconds until a request has its turn. */
  #untilTurn(): number {
    const { perSecond, burst } = this.#tools.limits;
    const now = performance.now();
    const wait = Math.max(0, this.#turn - now);
    if (wait <= LONGEST_TURN) this.#turn = Math.max(this.#turn, now - (1000 * (burst - 1)) / perSecond) + 1000 / perSecond;
    return wait;
  }

  /** @param after what is done when it is over */
  #begin(request: IncomingMessage, response: ServerResponse, after: (() => void)[]): void {
    const { limits } = this.#tools;
    if (request.socket.destroyed) return;
    if (this.#underWay >= limits.answers) {
      refuse(response, 503, { 'Retry-After': '1' });
      return;
    }
    this.#underWay++;
    const deadline = setTimeout(() => response.destroy(), limits.answerMs).unref();
    after.push(() => {
      clearTimeout(deadline);
      this.#underWay--;
    });
    // Whatever goes wrong is the reader's loss and not that of the work beside the server.
    this.#answer(request, response).catch(() => {
      if (response.headersSent) response.destroy();
      else refuse(response, 500);
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { gate, hosts } = this.#tools;
    const { method = '', headers, url = '', rawHeaders } = request;
    if (method !== 'GET' && method !== 'HEAD') return refuse(response, 405, { Allow: 'GET, HEAD' });
    const given = rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host').length;
    if (given !== 1 || hasBody(request)) return refuse(response, 400);
    const host = hostOf(headers.host!);
    if (host === null || !hosts.has(host)) return refuse(response, 421);
    const path = requestPath(url);
    if (typeof path === 'number') return refuse(response, path);
    if (path.token !== null && gate.knows(path.token)) {
      // So that it is in no address bar, history or bookmark.
      return redirect(response, path, { 'Set-Cookie': gate.setCookie });
    }
    if (!gate.admits(headers)) return refuse(response, 401, { 'WWW-Authenticate': 'Bearer' });
    return this.#show(path, response, method === 'HEAD');
  }

  async #show(path: RequestPath, response: ServerResponse, headOnly: boolean): Promise<void> {
    const { folder } = this.#tools;
    const { names, isFolder } = path;
    const name = names.at(-1) ?? '';
    if (isFolder || !isServedName(name)) {
      const list = await listPage(folder, names);
      if (list === null) return refuse(response, 404);
      if (!isFolder) return redirect(response, { ...path, isFolder: true });
      return send(response, Buffer.from(list), 'text/html; charset=utf-8', headOnly);
    }
    const held = await openFolder(folder, names.slice(0, -1));
    const file = held === null ? null : await openServed(held, name).finally(() => held.close());
    if (file === null) return refuse(response, 404);
    try {
      await sendFile(response, file, headOnly);
    } finally {
      await file.handle.close();
    }
  }
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';
}

function refuse(response: ServerResponse, status: Refusal, headers: OutgoingHttpHeaders = {}): void {
  const text = Buffer.from(`${REASONS[status]}\n`);
  const own = { 'Content-Type': 'text/plain; charset=utf-8', 'Content-Length': text.length };
  // What else comes on this connection may be the rest of what was refused.
  response.writeHead(status, { ...HEADERS, ...own, ...headers, Connection: 'close' }).end(text);
}

function redirect(response: ServerResponse, { names, isFolder }: RequestPath, headers: OutgoingHttpHeaders = {}): void {
  response.writeHead(303, { ...HEADERS, Location: urlPath(names, isFolder), 'Content-Length': 0, ...headers }).end();
}

function send(response: ServerResponse, bytes: Buffer, type: string, headOnly: boolean): void {
  response.writeHead(200, { ...HEADERS, 'Content-Type': type, 'Content-Length': bytes.length });
  response.end(headOnly ? undefined : bytes);
}

/** Piece by piece, and none before the one before was taken: a reader that does not read costs one piece. */
async function sendFile(response: ServerResponse, { handle, type, size, modified }: ServedFile, headOnly: boolean): Promise<void> {
  const own = { 'Content-Type': type, 'Content-Length': size, 'Last-Modified': modified.toUTCString() };
  response.writeHead(200, { ...HEADERS, ...own });
  const piece = Buffer.allocUnsafe(PIECE);
  for (let at = 0; !headOnly && at < size && !response.destroyed; ) {
    const { bytesRead } = await handle.read(piece, 0, Math.min(PIECE, size - at), at);
    // It became shorter: of an answer that says its length, the rest cannot be made up.
    if (bytesRead === 0) return void response.destroy();
    at += bytesRead;
    await taken(response, Buffer.from(piece.subarray(0, bytesRead)));
  }
  response.end();
}

/** Resolves when there is room for more, or nobody takes it any longer. */
function taken(response: ServerResponse, bytes: Buffer): Promise<void> {
  return new Promise((done) => {
    const free = () => {
      response.off('drain', free).off('close', free);
      done();
    };
    response.on('close', free);
    if (response.destroyed || response.write(bytes)) free();
    else response.on('drain', free);
  });
}
