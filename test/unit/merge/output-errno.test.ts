import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { beginPublication } from '../../../src/merge/output/publication.ts';
import { contentOf, errorOf, flaggedRename, interceptedFs, request, temporaryFolder, writeAndJournal } from '../../support/publication.ts';

const FILES = { 'model.safetensors': 'weights', 'config.json': '{}' };

/** As node:fs throws what libuv has no name for. */
function unnamed(number: number, syscall: string): Error {
  return Object.assign(new Error(`Unknown system error -${number}`), {
    errno: -number,
    code: `Unknown system error -${number}`,
    syscall,
  });
}

const ERRNOS = [
  [122, 'E_NO_SPACE'],
  [116, 'E_TEMPORARY'],
  [117, 'E_IO'],
  [123, 'E_IO'],
  [127, 'E_READ_ONLY'],
  [133, 'E_IO'],
  [999, 'E_IO'],
] as const;
const PLACES = [
  ['the owner', 'open', /draft-/],
  ['the owner', 'link', /draft-/],
  ['the journal', 'open', /journal/],
  ['the journal', 'appendFile', /journal/],
  ['the journal', 'datasync', /journal/],
  ['the heartbeat', 'open', /heartbeat/],
  ['the parent', 'mkdir', /partial/],
  ['the parent', 'sync', /payload/],
] as const;

describe.runIf(process.platform === 'linux')('an errno without a name in Node', () => {
  test.each(ERRNOS.flatMap(([number, code]) => PLACES.map(([what, call, path]) => ({ number, code, what, call, path }))))(
    '$number from $call of $what is $code, and nothing is left',
    async ({ number, code, call, path }) => {
      const folder = temporaryFolder();
      const output = join(folder, 'out');
      mkdirSync(output);
      writeFileSync(join(output, 'old.safetensors'), 'old');
      let met = false;
      const fs = interceptedFs((name, where) => {
        if (name !== call || !path.test(where)) return;
        met = true;
        throw unnamed(number, call);
      });
      const error = await errorOf(
        (async () => {
          const publication = await beginPublication(request(output, { force: true }), { fs, rename: flaggedRename });
          try {
            await writeAndJournal(publication, FILES);
            await publication.finish();
          } catch (caught) {
            await publication.abandon({ keep: false });
            throw caught;
          }
        })(),
      );
      expect(met).toBe(true);
      expect(error.code).toBe(code);
      expect(contentOf(output)).toEqual({ 'old.safetensors': 'old' });
      expect(readdirSync(folder)).toEqual(['out']);
    },
  );
});
