import { type CompletionCommand, type CompletionOption, type CompletionTree, PROGRAMS, quote } from './tree.ts';

/** The script of `merge completion bash`. It works without the bash-completion package. */
export function bashScript({ commands, options }: CompletionTree): string {
  const first = [...commands.map((c) => c.name), ...options.flatMap((o) => o.names)];
  return `# bash completion of merge and ckpt-merge, made by \`merge completion bash\`
_merge_words() { COMPREPLY=($(compgen -W "$1" -- "$word")); }
_merge_paths() { local IFS=$'\\n'; compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word")); }
_merge() {
  local word=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]}
  COMPREPLY=()
  if [[ $COMP_CWORD -eq 1 ]]; then _merge_words ${words(first)}; return; fi
  case \${COMP_WORDS[1]} in
${commands.map(branch).join('\n')}
  esac
}
complete -F _merge ${PROGRAMS.join(' ')}
`;
}

function branch({ name, options, values }: CompletionCommand): string {
  const withValue = options.filter((option) => option.values !== null);
  return [
    `    ${name})`,
    ...(withValue.length > 0 ? ['      case $previous in', ...withValue.map(valueCase), '      esac'] : []),
    ...(options.length > 0 ? [`      if [[ $word == -* ]]; then _merge_words ${words(options.flatMap((o) => o.names))}; return; fi`] : []),
    ...(values === 'path' ? ['      _merge_paths'] : Array.isArray(values) ? [`      _merge_words ${words(values)}`] : []),
    '      ;;',
  ].join('\n');
}

function valueCase({ names, values }: CompletionOption): string {
  const offer = values === 'path' ? '_merge_paths' : Array.isArray(values) ? `_merge_words ${words(values)}` : ':';
  return `        ${names.join('|')}) ${offer}; return ;;`;
}

function words(list: readonly string[]): string {
  return quote(list.join(' '));
}
