import { relative } from 'node:path';
import type { Reporter, TestModule } from 'vitest/node';

const SHOWN = 20;

/** Prints the test files that took longest, imports included, after everything else. */
export class Slowest implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const rows = modules
      .map((module) => {
        const { collectDuration, duration } = module.diagnostic();
        return { seconds: (collectDuration + duration) / 1000, path: relative(process.cwd(), module.moduleId) };
      })
      .sort((a, b) => b.seconds - a.seconds)
      .slice(0, SHOWN);
    const lines = rows.map(({ seconds, path }) => `${seconds.toFixed(1).padStart(7)} s  ${path}`);
    process.stdout.write(`\n The slowest ${rows.length} files:\n${lines.join('\n')}\n`);
  }
}
