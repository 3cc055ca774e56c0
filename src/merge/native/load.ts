import { loadAddon } from '../../base/native/load-addon.ts';
import type { NativeBinding } from './binding.ts';

/**
 * The native addon, loaded at the first call (never at import: help and header inspection do without it) and
 * kept.
 * @throws MergeError E_NATIVE_LOAD that lists what was tried, why it failed and what to do.
 */
export function loadBinding(): NativeBinding {
  return loadAddon().binding as NativeBinding;
}

/** The file that {@link loadBinding} loads, for reports. @throws what {@link loadBinding} throws. */
export function bindingPath(): string {
  return loadAddon().path;
}
