import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { readWhole } from '../../base/store/store.ts';

const MOST_BYTES = 4096;
/** As long as nobody guesses, of characters that can stand in a URL and a header as they are. */
const FORM = /^[\w.~-]{16,512}$/;
const HELP = 'Make one with: (umask 077; openssl rand -hex 24 > token), and name that file.';

/** Modes that let everybody read. */
const OTHERS_READ = 0o004;

/** Environment variable of a token. */
const TOKEN_VARIABLE = 'MERGE_SERVE_TOKEN';

/**
 * The token of a file, or of the environment, from which it is taken so that no command that this process starts has it.
 * @returns undefined where there is neither
 * @throws MergeError E_OPTION for what is no token, or can be read by everybody; of reading the file
 */
export async function givenToken(file: string | undefined, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const said = env[TOKEN_VARIABLE];
  delete env[TOKEN_VARIABLE];
  if (file === undefined) return said === undefined ? undefined : checkedToken(said, TOKEN_VARIABLE);
  const text = (await readWhole(file, MOST_BYTES)).toString('latin1').trim();
  if (((await SYSTEM.fs.stat(file)).mode & OTHERS_READ) !== 0) {
    throw new MergeError('E_OPTION', `${file}: a token that everybody on this machine can read keeps nobody out`, {
      details: { file },
      help: `Take the right away with chmod o-r, or give the token in the environment as ${TOKEN_VARIABLE}.`,
    });
  }
  return checkedToken(text, file);
}

/** @param where it came from, for the message: a token itself is never shown @throws MergeError E_OPTION */
export function checkedToken(token: string, where: string): string {
  if (FORM.test(token)) return token;
  throw new MergeError('E_OPTION', `${where}: holds no token, which is 16 to 512 letters, digits and -._~`, { help: HELP });
}

/** Who may look: all, or those who know the token. */
export class Gate {
  readonly #key = randomBytes(32);
  readonly #token: Buffer | null;
  readonly #cookie: string;
  /** Of this run of the server alone, and not the token: browsers send cookies to all ports of a host. */
  readonly #session: string;

  constructor(token: string | undefined, port: number) {
    this.#token = token === undefined ? null : this.#mac(token);
    this.#session = randomBytes(24).toString('hex');
    this.#cookie = `ckpt-merge-${port}`;
  }

  /** Sets the cookie that lets its bearer in. */
  get setCookie(): string {
    return `${this.#cookie}=${this.#session}; HttpOnly; SameSite=Lax; Path=/`;
  }

  /** Whether a header of the request lets it in. */
  admits({
    authorization = '',
    cookie = '',
  }: {
    readonly authorization?: string | undefined;
    readonly cookie?: string | undefined;
  }): boolean {
    if (this.#token === null) return true;
    const [, bearer] = /^bearer +(\S+)$/i.exec(authorization) ?? [];
    if (bearer !== undefined && this.knows(bearer)) return true;
    const session = cookie.split(';').map((pair) => pair.trim().split('='));
    return session.some(([name, value = '']) => name === this.#cookie && timingSafeEqual(this.#mac(value), this.#mac(this.#session)));
  }

  /** Whether it is the token. Takes as long for every wrong one. */
  knows(token: string): boolean {
    return this.#token !== null && timingSafeEqual(this.#mac(token), this.#token);
  }

  #mac(text: string): Buffer {
    return createHmac('sha256', this.#key).update(text).digest();
  }
}
