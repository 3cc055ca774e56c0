import { type CompletionOption, type CompletionTree, PROGRAMS, quote } from './tree.ts';

/** The script of `merge completion fish`. */
export function fishScript({ commands, options }: CompletionTree): string {
  const lines = ['# fish completion of merge and ckpt-merge, made by `merge completion fish`'];
  for (const program of PROGRAMS) {
    const rule = (condition: string, rest: string) => lines.push(`complete -c ${program} -n ${quote(condition)} ${rest}`);
    const first = '__fish_use_subcommand';
    lines.push(`complete -c ${program} -f`);
    for (const option of options) rule(first, optionRule(option));
    for (const { name, description, values, options: own } of commands) {
      const within = `__fish_seen_subcommand_from ${name}`;
      rule(first, `-a ${name} -d ${quote(description)}`);
      if (values === 'path') rule(within, '-F');
      else if (Array.isArray(values)) rule(within, `-a ${quote(values.join(' '))}`);
      for (const option of own) rule(within, optionRule(option));
    }
  }
  return `${lines.join('\n')}\n`;
}

function optionRule({ names, description, values }: CompletionOption): string {
  const flags = names.map((name) => (name.startsWith('--') ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`)).join(' ');
  const value = values === null ? '' : values === 'path' ? ' -r -F' : values === 'free' ? ' -x' : ` -x -a ${quote(values.join(' '))}`;
  return `${flags}${value} -d ${quote(description)}`;
}
