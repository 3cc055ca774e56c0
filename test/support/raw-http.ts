import { connect, type Socket } from 'node:net';

export interface RawAnswer {
  /** All that came until the connection ended, as latin1. */
  readonly text: string;
  readonly status: number;
  /** What stands behind the empty line. */
  readonly body: string;
  header(name: string): string | undefined;
}

/** Opens a connection; what goes wrong on it is its end. */
export function rawSocket(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  return new Promise((done, failed) => {
    const socket = connect(Number(port), hostname.replace(/^\[|\]$/g, ''));
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.off('error', failed).on('error', () => {});
      done(socket);
    });
  });
}

/** Sends bytes as they are, and reads until the server ends the connection. */
export async function rawRequest(url: string, text: string): Promise<RawAnswer> {
  const socket = await rawSocket(url);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.write(Buffer.from(text, 'latin1'));
  await new Promise((done) => socket.once('close', done));
  return rawAnswer(Buffer.concat(chunks).toString('latin1'));
}

export function rawAnswer(text: string): RawAnswer {
  const end = text.indexOf('\r\n\r\n');
  const head = end < 0 ? text : text.slice(0, end);
  return {
    text,
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0),
    body: end < 0 ? '' : text.slice(end + 4),
    header: (name) => new RegExp(`^${name}: (.*)$`, 'im').exec(head)?.[1]?.trim(),
  };
}
