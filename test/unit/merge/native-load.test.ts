import { describe, expect, test } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import { NATIVE_API_VERSION } from '../../../src/base/native/addon.ts';
import { type LoadHost, loadAddonFrom, platformName } from '../../../src/base/native/load-addon.ts';

/**
 * A Linux machine with glibc on which nothing is there; `files` maps paths to what loading them gives or
 * throws.
 */
function host(change: Partial<LoadHost> = {}, files: Record<string, unknown> = {}): LoadHost {
  return {
    platform: 'linux',
    arch: 'x64',
    glibc: '2.31',
    forced: undefined,
    root: '/pkg/',
    exists: (path) => path in files,
    require: (path) => {
      const found = files[path];
      if (found instanceof Error) throw found;
      return found;
    },
    ...change,
  };
}

const good = { apiVersion: NATIVE_API_VERSION };
const BUILD = '/pkg/build/Release/ckpt_merge.node';
const PREBUILD = '/pkg/prebuilds/linux-x64.node';

function failure(of: LoadHost): MergeError {
  try {
    loadAddonFrom(of);
  } catch (error) {
    expect(error).toBeInstanceOf(MergeError);
    expect((error as MergeError).code).toBe('E_NATIVE_LOAD');
    return error as MergeError;
  }
  return expect.fail('it loaded');
}

describe('order', () => {
  test('a local build comes before the prebuild', () => {
    expect(loadAddonFrom(host({}, { [BUILD]: good, [PREBUILD]: good }))).toEqual({ binding: good, path: BUILD });
    expect(loadAddonFrom(host({}, { [PREBUILD]: good }))).toEqual({ binding: good, path: PREBUILD });
  });

  test('a broken local build gives way to the prebuild', () => {
    expect(loadAddonFrom(host({}, { [BUILD]: new Error('bad'), [PREBUILD]: good })).path).toBe(PREBUILD);
    expect(loadAddonFrom(host({}, { [BUILD]: { apiVersion: 0 }, [PREBUILD]: good })).path).toBe(PREBUILD);
  });

  test('an explicit choice stands alone', () => {
    expect(loadAddonFrom(host({ forced: '/x.node' }, { '/x.node': good, [BUILD]: good })).path).toBe('/x.node');
    const error = failure(host({ forced: '/none.node' }, { [BUILD]: good }));
    expect(error.message).toContain('/none.node: not there');
    expect(error.message).not.toContain(BUILD);
    expect(error.help).toContain('Unset CKPT_MERGE_BINARY');
    expect(loadAddonFrom(host({ forced: '' }, { [BUILD]: good })).path).toBe(BUILD);
  });

  test('prebuilds are named by platform, architecture and libc', () => {
    expect(platformName({ platform: 'linux', arch: 'arm64', glibc: null })).toBe('linux-arm64-musl');
    expect(platformName({ platform: 'darwin', arch: 'arm64', glibc: null })).toBe('darwin-arm64');
    expect(platformName({ platform: 'linux', arch: 'x64', glibc: '2.28' })).toBe('linux-x64');
  });
});

describe('each failure has its remedy', () => {
  test('nothing is there: all candidates are listed, reinstalling and building are named', () => {
    const error = failure(host());
    expect(error.message).toContain(`${BUILD}: not there`);
    expect(error.message).toContain(`${PREBUILD}: not there`);
    expect(error.help).toMatch(/^1\. The package is incomplete.*--omit=optional/);
    expect(error.help).toMatch(/2\. .*npm run build:native.*build-essential cmake.*gcc-c\+\+ make cmake.*xcode-select/);
    expect(error.details.tried).toHaveLength(2);
  });

  test('an old glibc: found and needed', () => {
    const text = `/lib/libc.so.6: version \`GLIBC_2.34' not found (required by x)\n/lib/libc.so.6: version \`GLIBC_2.9' not found`;
    const error = failure(host({}, { [PREBUILD]: new Error(text) }));
    expect(error.help).toContain('needs glibc 2.34 and this system has 2.31');
    expect(error.message).not.toContain('GLIBC_2.9');
  });

  test('musl', () => {
    const error = failure(host({ glibc: null }));
    expect(error.message).toContain('/pkg/prebuilds/linux-x64-musl.node: not there');
    expect(error.help).toContain('musl (Alpine)');
    expect(error.help).toContain('no prebuilt binary for linux-x64-musl');
  });

  test('a platform without prebuild', () => {
    expect(failure(host({ platform: 'win32', glibc: null })).help).toMatch(/no prebuilt binary for win32-x64 \(there is for linux-x64/);
  });

  test('another API version', () => {
    const error = failure(host({}, { [PREBUILD]: { apiVersion: 99 } }));
    expect(error.message).toContain(`has native API version 99, this package needs ${NATIVE_API_VERSION}`);
    expect(error.help).toContain('reinstall the package');
  });

  test('a binary of another platform', () => {
    const error = failure(host({}, { [PREBUILD]: new Error(`${PREBUILD}: invalid ELF header`) }));
    expect(error.help).toContain('another platform');
  });
});

test('a Node that was told to load no addons is told how to let it', () => {
  const disabled = new Error('Cannot load native addon because loading addons is disabled.');
  const { help } = failure(host({}, { [BUILD]: disabled, [PREBUILD]: disabled }));
  expect(help).toContain('--allow-addons');
  expect(help).not.toContain('cmake');
});
