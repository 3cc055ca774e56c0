import { createRequire } from 'node:module';
import { isThere } from '../disk/own-file.ts';
import { MergeError } from '../errors.ts';
import { packageRoot } from '../package-root.ts';
import { type Addon, NATIVE_API_VERSION } from './addon.ts';

/** What the loader asks of the machine; tests replace it. */
export interface LoadHost {
  readonly platform: string;
  readonly arch: string;
  /** Version of glibc, null on musl and where there is none. */
  readonly glibc: string | null;
  /** CKPT_MERGE_BINARY. */
  readonly forced: string | undefined;
  /** The package's own folder, ending in a slash. */
  readonly root: string;
  exists(path: string): boolean;
  require(path: string): unknown;
}

interface Failure {
  readonly path: string;
  readonly reason: string;
}

/** Platforms that releases carry a binary for; named in the message when a prebuild is missing. */
const PREBUILT = ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64'];

/** The addon and the file it came from. */
export interface LoadedAddon {
  readonly binding: Addon;
  readonly path: string;
}

let loaded: LoadedAddon | undefined;
let missing = false;

/**
 * The native addon, loaded at the first call and kept.
 * @throws MergeError E_NATIVE_LOAD that lists what was tried, why it failed and what to do.
 */
export function loadAddon(): LoadedAddon {
  loaded ??= loadAddonFrom(thisHost());
  return loaded;
}

/** The addon for what goes faster with it; null where it cannot be loaded. */
export function addonIfThere(): Addon | null {
  if (missing) return null;
  try {
    return loadAddon().binding;
  } catch {
    missing = true;
    return null;
  }
}

/** {@link loadAddon} without the memory, on a host of the caller's choice. */
export function loadAddonFrom(host: LoadHost): LoadedAddon {
  const failures: Failure[] = [];
  for (const path of candidates(host)) {
    if (!host.exists(path)) {
      failures.push({ path, reason: 'not there' });
      continue;
    }
    try {
      const binding = host.require(path) as Addon;
      if (binding.apiVersion === NATIVE_API_VERSION) return { binding, path };
      failures.push({ path, reason: `has native API version ${binding.apiVersion}, this package needs ${NATIVE_API_VERSION}` });
    } catch (error) {
      failures.push({ path, reason: error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error) });
    }
  }
  const tried = failures.map((failure) => `  ${failure.path}: ${failure.reason}`).join('\n');
  throw new MergeError('E_NATIVE_LOAD', `the native addon could not be loaded on ${platformName(host)}; tried:\n${tried}`, {
    details: { tried: failures },
    help: remedies(host, failures)
      .map((remedy, index) => `${index + 1}. ${remedy}`)
      .join('\n'),
  });
}

/** Name of the folderless prebuild for a host, such as `linux-x64` or `linux-arm64-musl`. */
export function platformName(host: Pick<LoadHost, 'platform' | 'arch' | 'glibc'>): string {
  return `${host.platform}-${host.arch}${isMusl(host) ? '-musl' : ''}`;
}

/** An explicit choice stands alone: falling back from it would hide that it does not work. */
function* candidates(host: LoadHost): Generator<string> {
  if (host.forced !== undefined && host.forced !== '') return yield host.forced;
  yield `${host.root}build/Release/ckpt_merge.node`;
  yield `${host.root}prebuilds/${platformName(host)}.node`;
}

function isMusl(host: Pick<LoadHost, 'platform' | 'glibc'>): boolean {
  return host.platform === 'linux' && host.glibc === null;
}

/** What Node says under `--permission` and `--no-addons`. */
const ADDONS_DISABLED = 'loading addons is disabled';
const PERMIT =
  'Node was told to load none (`--permission` or `--no-addons`, maybe in NODE_OPTIONS): add `--allow-addons`, and `--allow-child-process` ' +
  'for evaluators and hooks, or start it without.';

function remedies(host: LoadHost, failures: readonly Failure[]): string[] {
  const list: string[] = [];
  const reasons = failures.map((failure) => failure.reason).join('\n');
  if (reasons.includes(ADDONS_DISABLED)) return [PERMIT];
  const needed = highestGlibc(reasons);
  if (host.forced !== undefined && host.forced !== '') {
    list.push('Unset CKPT_MERGE_BINARY, or let it name a ckpt_merge.node built for this machine.');
  }
  if (needed !== null && host.glibc !== null) {
    list.push(`The binary needs glibc ${needed} and this system has ${host.glibc}: use a newer system or container, or build it here.`);
  }
  if (isMusl(host)) list.push('This system uses musl (Alpine): build the addon here, or use a glibc image such as node:22-slim.');
  if (reasons.includes('native API version')) {
    list.push('The binary is of another version of this package: reinstall the package, or run `npm run build:native` in a clone.');
  }
  if (reasons.includes('invalid ELF header') || reasons.includes('wrong architecture') || reasons.includes('incompatible architecture')) {
    list.push('The binary is for another platform: do not copy node_modules between machines, run `npm ci` on this one.');
  }
  if (!PREBUILT.includes(platformName(host))) {
    list.push(`There is no prebuilt binary for ${platformName(host)} (there is for ${PREBUILT.join(', ')}); Windows users can use WSL.`);
  } else if (failures.every((failure) => failure.reason === 'not there')) {
    list.push('The package is incomplete: reinstall it without `--omit=optional`, `--no-optional` or a bundler that drops .node files.');
  }
  list.push(
    'Build it in a clone of the repository with `npm run build:native`. It needs a C++17 compiler and CMake: ' +
      'Debian and Ubuntu `apt install build-essential cmake`, Fedora `dnf install gcc-c++ make cmake`, ' +
      'macOS `xcode-select --install` and `brew install cmake`.',
  );
  return list;
}

/** The highest GLIBC_x.y that loader messages ask for. */
function highestGlibc(text: string): string | null {
  const versions = [...text.matchAll(/GLIBC_(\d+)\.(\d+)/g)].map((match) => [Number(match[1]), Number(match[2])] as const);
  const highest = versions.toSorted((a, b) => b[0] - a[0] || b[1] - a[1])[0];
  return highest === undefined ? null : highest.join('.');
}

function thisHost(): LoadHost {
  return {
    platform: process.platform,
    arch: process.arch,
    // The report that tells takes 5 ms: only where a prebuild has to be chosen or a failure explained.
    get glibc() {
      return glibcVersion();
    },
    forced: process.env.CKPT_MERGE_BINARY,
    root: packageRoot,
    exists: isThere,
    require: createRequire(import.meta.url),
  };
}

function glibcVersion(): string | null {
  if (process.platform !== 'linux') return null;
  // Without this the report looks up the names of all open sockets, which can take seconds.
  (process.report as { excludeNetwork?: boolean }).excludeNetwork = true;
  const report = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return report.header?.glibcVersionRuntime ?? null;
}
