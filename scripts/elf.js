// What an ELF file asks of the machine that loads it.

/** The machine that a binary is for, in the words of compilers; null where it is no ELF file for one of these. */
export function machineOf(bytes) {
  const names = { 62: 'x86_64', 183: 'aarch64' };
  return bytes.subarray(0, 4).toString('latin1') === '\x7fELF' ? (names[bytes.readUInt16LE(18)] ?? null) : null;
}

/** The newest version of glibc of which it needs a symbol, as `2.28`; null where it needs none. */
export function highestGlibc(bytes) {
  const found = [...bytes.toString('latin1').matchAll(/GLIBC_(\d+\.\d+)/g)].map(([, version]) => version);
  return found.sort(byVersion).at(-1) ?? null;
}

/** Whether a version of glibc is that of another one, or older. */
export const isAtMost = (version, limit) => byVersion(version, limit) <= 0;

function byVersion(a, b) {
  const [[majorA, minorA], [majorB, minorB]] = [a, b].map((version) => version.split('.').map(Number));
  return majorA - majorB || minorA - minorB;
}
