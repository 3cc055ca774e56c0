/** The name and version of what runs this program: Node, or one of those that pass for it. */
export function runtimeName(): string {
  const { node, bun, deno } = process.versions as Readonly<Record<string, string | undefined>>;
  if (bun !== undefined) return `bun ${bun}, as Node.js ${node}`;
  return deno === undefined ? `${node}` : `deno ${deno}, as Node.js ${node}`;
}
