import { isAbsolute, normalize } from 'node:path';
import { MergeError, type Warning, type WarningCode } from '../../base/errors.ts';
import { JsonScanner } from '../../checkpoints/safetensors/json-scanner.ts';
import type { ParameterValue } from '../../recipe/schedule/types.ts';
import type { Provenance, ProvenanceFile, ProvenanceMember, ProvenancePolicy, ProvenanceRecipe, ProvenanceTimings } from './provenance.ts';

type Fields = ReadonlyMap<string, unknown>;

/**
 * Reads a provenance strictly: every field has its type, every file name stays inside the folder. Fields that
 * are not known are passed over: later versions may add some.
 * @param path file it is from, for messages
 * @throws MergeError E_PROVENANCE
 */
export function parseProvenance(text: string | Uint8Array, path: string): Provenance {
  const root = object(scan(typeof text === 'string' ? Buffer.from(text) : text, path), 'it');
  if (root.get('schema') !== 'ckpt-merge/provenance') fail('schema is not ckpt-merge/provenance');
  const version = root.get('version');
  if (version !== 1) fail(`it has version ${JSON.stringify(version)}, and this program reads version 1`);
  const tool = object(root.get('tool'), 'tool');
  return {
    schema: 'ckpt-merge/provenance',
    version: 1,
    tool: { name: string(tool, 'name'), version: string(tool, 'version') },
    recipe: recipeOf(object(root.get('recipe'), 'recipe')),
    planDigest: orNull(root, 'planDigest', string),
    files: list(root, 'files').map((f) => fileOf(object(f, 'an entry of files'))),
    dtypeChanges: list(root, 'dtypeChanges').map((change) =>
      typeof change === 'string' ? change : fail('dtypeChanges holds something other than text'),
    ),
    warnings: list(root, 'warnings').map((w) => warningOf(object(w, 'an entry of warnings'))),
    timings: orNull(root, 'timings', (_, key) => timingsOf(object(root.get(key), key))),
  };

  function recipeOf(recipe: Fields): ProvenanceRecipe {
    const members = list(recipe, 'members').map((m) => memberOf(object(m, 'an entry of members')));
    if (members.length === 0) fail('members is empty');
    const alpha = orNull(recipe, 'alpha', number);
    return {
      method: string(recipe, 'method'),
      alpha,
      parameters: parametersOf(recipe, alpha),
      normalized: boolean(recipe, 'normalized'),
      dtype: orNull(recipe, 'dtype', string),
      purpose: recipe.has('purpose') ? orNull(recipe, 'purpose', string) : null,
      optimizer: recipe.has('optimizer') ? orNull(recipe, 'optimizer', string) : null,
      policies: recipe.has('policies') ? list(recipe, 'policies').map((p) => policyOf(object(p, 'an entry of policies'))) : [],
      allowMixedDtypes: boolean(recipe, 'allowMixedDtypes'),
      allowUnknown: recipe.has('allowUnknown') && boolean(recipe, 'allowUnknown'),
      like: orNull(recipe, 'like', string),
      members,
    };
  }

  function policyOf(policy: Fields): ProvenancePolicy {
    const weights = orNull(policy, 'weights', list);
    if (weights?.some((w) => typeof w !== 'number' || !Number.isFinite(w))) fail('the weights of a policy are not finite numbers');
    return { policy: string(policy, 'policy'), weights: weights as readonly number[] | null };
  }

  /** Before there were others, alpha was the only one. */
  function parametersOf(recipe: Fields, alpha: number | null): Record<string, ParameterValue> {
    if (!recipe.has('parameters')) return alpha === null ? {} : { alpha };
    return Object.fromEntries(
      [...object(recipe.get('parameters'), 'parameters')].map(([name, value]): [string, ParameterValue] => {
        if (typeof value === 'string' || typeof value === 'boolean') return [name, value];
        if (typeof value === 'number' && Number.isFinite(value)) return [name, value];
        return fail(`the parameter ${name} is neither a finite number, text, true nor false`);
      }),
    );
  }

  function memberOf(member: Fields): ProvenanceMember {
    const where = orNull(member, 'path', string);
    if (where !== null && isAbsolute(where)) fail('the path of a member is absolute');
    return {
      name: string(member, 'name'),
      path: where,
      step: orNull(member, 'step', count),
      tokens: orNull(member, 'tokens', count),
      weight: number(member, 'weight'),
      bytes: count(member, 'bytes'),
      fingerprint: string(member, 'fingerprint'),
    };
  }

  function fileOf(file: Fields): ProvenanceFile {
    const name = string(file, 'name');
    if (name === '' || isAbsolute(name) || name.includes('\0') || normalize(name).startsWith('..'))
      fail(`the file name ${JSON.stringify(name)} leaves the folder`);
    const crc32c = string(file, 'crc32c');
    if (!/^[0-9a-f]{8}$/.test(crc32c)) fail(`the crc32c of ${name} is not 8 hexadecimal digits`);
    return { name, bytes: count(file, 'bytes'), crc32c };
  }

  function warningOf(warning: Fields): Warning {
    const code = string(warning, 'code');
    // A later version may know more of them.
    if (!/^W_[A-Z_]+$/.test(code)) fail(`${JSON.stringify(code)} is not a warning code`);
    return { code: code as WarningCode, message: string(warning, 'message') };
  }

  function timingsOf(timings: Fields): ProvenanceTimings {
    return { seconds: number(timings, 'seconds'), bytesRead: count(timings, 'bytesRead'), bytesWritten: count(timings, 'bytesWritten') };
  }

  function fail(why: string): never {
    throw new MergeError('E_PROVENANCE', `${path}: ${why}`, { details: { file: path } });
  }
  function object(value: unknown, what: string): Fields {
    return value instanceof Map ? value : fail(`${what} is not an object`);
  }
  function list(from: Fields, key: string): readonly unknown[] {
    const value = from.get(key);
    return Array.isArray(value) ? value : fail(`${key} is not a list`);
  }
  function string(from: Fields, key: string): string {
    const value = from.get(key);
    return typeof value === 'string' ? value : fail(`${key} is not text`);
  }
  function number(from: Fields, key: string): number {
    const value = from.get(key);
    return typeof value === 'number' && Number.isFinite(value) ? value : fail(`${key} is not a finite number`);
  }
  function count(from: Fields, key: string): number {
    const value = number(from, key);
    return Number.isSafeInteger(value) && value >= 0 ? value : fail(`${key} is not a count`);
  }
  function boolean(from: Fields, key: string): boolean {
    const value = from.get(key);
    return typeof value === 'boolean' ? value : fail(`${key} is neither true nor false`);
  }
  function orNull<T>(from: Fields, key: string, read: (from: Fields, key: string) => T): T | null {
    return from.get(key) === null ? null : read(from, key);
  }
}

function scan(bytes: Uint8Array, path: string): unknown {
  try {
    const scanner = new JsonScanner(bytes, { path, offset: 0, what: 'provenance', syntax: 'E_PROVENANCE', utf8: 'E_PROVENANCE' });
    const value = scanner.value();
    scanner.finish(' \t\r\n');
    return value;
  } catch (error) {
    if (!(error instanceof MergeError) || error.code === 'E_PROVENANCE') throw error;
    throw new MergeError('E_PROVENANCE', error.message, { details: error.details, cause: error });
  }
}
