import { readShell, type ShellCommand, type Word, type WordPart, wordsOf } from '../../base/process/shell-script.ts';

/** A value is read once more by a program as a command, or is not the one word that it was. */
export class ReadAgain extends Error {
  /** The variable that has the value, where all that is wrong is that it stands outside double quotes. */
  readonly unquoted: string | null;

  constructor(where: string, unquoted: string | null = null) {
    super(where);
    this.unquoted = unquoted;
  }
}

/** Shells of which an argument is text for them where `-c` stands before it. */
const SHELLS = new Set(['sh', 'bash', 'dash', 'zsh', 'ksh', 'mksh', 'ash', 'rbash', 'fish', 'csh', 'tcsh']);
/** Builtins that read their arguments as commands or expressions. */
const BUILTINS = new Set([
  'eval',
  'trap',
  'alias',
  'let',
  'declare',
  'typeset',
  'unset',
  'read',
  'mapfile',
  'readarray',
  'getopts',
  'fc',
  'bind',
]);
/** These, and programs that do so with arguments or input. */
const ARGUMENTS_ARE_COMMANDS = new Set([
  ...BUILTINS,
  ...[
    'complete',
    'compgen',
    'ssh',
    'slogin',
    'rsh',
    'mosh',
    'pdsh',
    'pssh',
    'parallel-ssh',
    'clush',
    'parallel',
    'watch',
    'at',
    'batch',
    'bsub',
    'tmux',
  ],
  ...['screen', 'make', 'gmake', 'ninja', 'su', 'runuser', 'script', 'expect', 'tclsh', 'gdb', 'lldb', 'vim', 'vi', 'ex', 'emacs'],
  ...['osascript', 'cmd', 'powershell', 'pwsh', 'm4', 'bc', 'dc', 'xterm', 'gnuplot', 'entr', 'hyperfine'],
]);
/** Programs that run code given with an option. */
const INTERPRETERS = /^(?:python[\d.]*|pypy[\d.]*|ipython[\d.]*|perl|ruby|node|nodejs|deno|bun|php|lua(?:jit)?|Rscript|R|julia)$/;
const CODE = /^(?:-[A-Za-z]*[ceEprRx]|--(?:eval|print|command|execute|run)(?:=.*)?)$/;
const SCRIPT = /\.(?:py|pyz|js|mjs|cjs|ts|pl|rb|R|lua|jl|php|sh)$/;
/** Programs of which the first argument is code, and the others are files. */
const FILTERS = new Set(['awk', 'gawk', 'mawk', 'nawk', 'sed', 'gsed', 'jq', 'yq', 'sqlite3', 'psql', 'mysql', 'duckdb']);
/** Programs that run what their arguments name: any word of theirs may be the name of another program. */
const WRAPPERS = new Set([
  ...['command', 'builtin', 'exec', 'env', 'nohup', 'nice', 'ionice', 'timeout', 'stdbuf', 'setsid', 'sudo', 'doas', 'chrt', 'taskset'],
  ...[
    'numactl',
    'srun',
    'salloc',
    'mpirun',
    'mpiexec',
    'xargs',
    'find',
    'strace',
    'unbuffer',
    'flock',
    'busybox',
    'docker',
    'podman',
    'nsenter',
  ],
  ...[
    'kubectl',
    'oc',
    'gcloud',
    'apptainer',
    'singularity',
    'conda',
    'mamba',
    'micromamba',
    'poetry',
    'uv',
    'pipenv',
    'pixi',
    'nix',
    'chroot',
  ],
]);
/** Options of any program that a command follows. */
const COMMAND_OPTION = /^(?:-[a-z]*[cex]|--(?:wrap|command|cmd|exec|execute|eval|split-string))$/;
const COMMAND_OPTION_WITH = /^--(?:[\w-]+-)?(?:wrap|command|cmd|exec|execute|eval|split-string|action|rsh)=/;
/** Programs of which no option is followed by a command. */
const NO_COMMANDS = new Set(['echo', 'printf', 'test', '[', 'grep', 'egrep', 'fgrep', 'cut', 'head', 'tail', 'wc', 'sort']);
/** Variables that shells and others expand or run. */
const RUN_VARIABLES = /^(?:ENV|BASH_ENV|PS\d|IFS|SHELLOPTS|BASH_FUNC.*|\w*_COMMAND|\w*PAGER|\w*EDITOR|VISUAL|BROWSER|LESSOPEN|LESSCLOSE)$/;
const DECLARE = new Set(['export', 'readonly', 'local']);
const READS_INPUT = new Set(['/dev/stdin', '/dev/fd/0', '/proc/self/fd/0', '-']);

/** Of those, what reads commands from its input where it is given none. */
const INPUT_IS_COMMANDS = new Set(['parallel', 'at', 'batch', 'bc', 'dc', 'm4', 'tclsh', 'gnuplot', 'expect', 'xargs']);

/**
 * Sees to it that values reach the programs of a text for a shell as they are: that none is read again as a
 * command by `eval`, `sh -c "…"`, `ssh` and the like, neither where a mark stands nor by way of a variable.
 * What is written to a file and run from there is seen only where the text does both by the same name.
 *
 * @param marks places where values are put in @param given names of variables that hold values, too
 * @param filled other variables that values were put into; `@` for all of `$1`, `$@` and so on
 * @throws ReadAgain saying where; NotUnderstood for a text within the text that shells read in different ways
 */
export function refuseReadAgain(
  commands: readonly ShellCommand[],
  marks: ReadonlySet<unknown>,
  given: ReadonlySet<string>,
  filled: readonly string[] = [],
): void {
  new Review(commands, marks, given, filled).check();
}

class Review {
  readonly #commands: readonly ShellCommand[];
  readonly #marks: ReadonlySet<unknown>;
  readonly #given: ReadonlySet<string>;
  /** Variables that values are put into; `@` for all of `$1`, `$@` … */
  readonly #filled = new Set<string>();
  /** What variables hold, where it is plain text. */
  readonly #plain = new Map<string, string>();
  /** Files that are run. */
  readonly #run = new Set<string>();

  constructor(commands: readonly ShellCommand[], marks: ReadonlySet<unknown>, given: ReadonlySet<string>, filled: readonly string[]) {
    this.#commands = flat(commands);
    this.#marks = marks;
    this.#given = given;
    for (const name of filled) this.#filled.add(name);
    if (this.#commands.some(({ kind, words }) => kind === 'function' || this.#text(words[0]) === 'set')) this.#filled.add('@');
    // Each round finds what the variables of the round before are put into.
    for (let before = -1; before !== this.#filled.size; ) {
      before = this.#filled.size;
      for (const command of this.#commands) this.#fill(command);
    }
  }

  check(): void {
    for (const command of this.#commands) this.#command(command);
    for (const [i, { redirections, words }] of this.#commands.entries()) {
      const files = redirections.flatMap(({ operator, word }) => (operator.startsWith('>') ? [word] : []));
      const tee = base(this.#text(words[0]) ?? '') === 'tee';
      const file = [...files, ...(tee ? words.slice(1) : [])]
        .map((word) => plainName(this.#text(word)))
        .find((name) => this.#run.has(name));
      if (file === undefined) continue;
      for (const command of tee ? this.#commands.slice(0, i) : [this.#commands[i]!])
        this.#refuse(wordsOf(command), `${file}, which is run`);
    }
  }

  /** Notes which variables a command puts values into. */
  #fill({ kind, assignments, words }: ShellCommand): void {
    const name = this.#text(words[0]) ?? '';
    for (const word of [...assignments, ...(DECLARE.has(name) ? words.slice(1) : [])]) {
      const variable = /^(\w+)\+?=/.exec(firstText(word));
      if (variable === null) continue;
      if (this.#carries(word)) this.#filled.add(variable[1]!);
      else if (word.parts.every((part) => part.kind === 'text')) this.#plain.set(variable[1]!, this.#text(word)!.slice(variable[0].length));
    }
    const filled = (word: Word | undefined) => this.#filled.add(this.#text(word) ?? '');
    if (kind === 'for' && (words.length === 1 || words.some((word) => this.#carries(word)))) filled(words[0]);
    if (kind === 'simple' && name === 'read') words.slice(1).forEach(filled);
    if (name === 'printf' && this.#text(words[1]) === '-v') filled(words[2]);
  }

  #command({ kind, ...command }: ShellCommand): void {
    const { assignments, words, redirections } = command;
    if (kind === 'test') this.#refuse(words, '[[ … ]]');
    if (kind !== 'simple') return;
    const name = this.#text(words[0]) ?? '';
    if (name === 'alias' || name === 'shopt') throw new ReadAgain(name);
    const declared = DECLARE.has(name) ? words.slice(1) : [];
    for (const word of [...assignments, ...declared]) {
      const variable = /^(\w+)\+?=/.exec(firstText(word))?.[1];
      if (variable === undefined || RUN_VARIABLES.test(variable)) this.#refuse([word], variable ?? name);
    }
    for (const word of [...words, ...redirections.map(({ word }) => word)]) this.#split(word);
    if (words[0] === undefined || declared.length > 0) return;
    if (this.#carries(words[0])) throw new ReadAgain('the name of a program');
    const texts = this.#spread(words);
    const wrapped = WRAPPERS.has(base(texts[0] ?? ''));
    for (const [i, text] of texts.entries()) {
      const program = base(text ?? '');
      const shell = SHELLS.has(program) && /^-[a-z]*c/.test(texts[i + 1] ?? '');
      if (i > 0 && !wrapped && !shell) continue;
      if (i > 0 && BUILTINS.has(program) && !['command', 'builtin'].includes(texts[i - 1] ?? '')) continue;
      this.#program(program, words.slice(i + 1), { kind, ...command });
    }
    this.#run.add(plainName(name));
    this.#options(words, texts[0] ?? null);
  }

  /** The texts of words; of a first word that is a variable of plain text, the words of that. */
  #spread(words: readonly Word[]): (string | null)[] {
    const [first, ...rest] = words.map((word) => this.#text(word));
    if (first === undefined) return [];
    const only = words[0]!.parts[0];
    if (words[0]!.parts.length !== 1 || only?.kind !== 'variable' || first === null || !/\s/.test(first)) return [first, ...rest];
    // Which of its words is the program that the others are arguments of is not looked into.
    const inner = first.trim().split(/\s+/).map(base);
    const risky = inner.find((word) => SHELLS.has(word) || ARGUMENTS_ARE_COMMANDS.has(word) || word.startsWith('-'));
    if (risky !== undefined) this.#refuse(words.slice(1), `$${only.name}, which is ${first}`);
    return [inner[0]!, ...rest];
  }

  #program(program: string, words: readonly Word[], command: ShellCommand): void {
    if (INPUT_IS_COMMANDS.has(program)) this.#input(program, command);
    if (SHELLS.has(program)) this.#shell(program, words, command);
    else if (program === 'eval' || program === 'trap') {
      this.#refuse(words, program);
      this.#nested(words.slice(0, program === 'eval' ? undefined : 1), false);
    } else if (ARGUMENTS_ARE_COMMANDS.has(program)) this.#refuse(words, program);
    else if (INTERPRETERS.test(program)) this.#interpreter(program, words, command);
    else if (FILTERS.has(program)) this.#filter(program, words);
    else if (program === '.' || program === 'source') this.#file(program, words[0], command);
    else if (program === 'env' && words.some((word) => /^(?:-[A-Za-z]*S|--s)/.test(firstText(word)))) this.#refuse(words, 'env -S');
    else if ((program === 'test' || program === '[') && words.some((word) => /^-[vR]$/.test(this.#text(word) ?? '')))
      this.#refuse(words, program);
  }

  /** `sh -c TEXT NAME ARGUMENTS`, `sh FILE ARGUMENTS`, or sh that reads its input. */
  #shell(program: string, words: readonly Word[], command: ShellCommand): void {
    let code = false;
    for (let i = 0; i < words.length; i++) {
      const word = words[i]!;
      const text = this.#text(word);
      if (/^[-+]./.test(text ?? firstText(word))) {
        this.#refuse([word], program);
        code ||= /^-[a-zA-Z]*c/.test(text ?? firstText(word));
        if (/^(?:[-+][a-zA-Z]*[oO]|--rcfile|--init-file)$/.test(text ?? '')) this.#refuse([words[++i] ?? word], program);
      } else if (code) {
        this.#refuse([word], `${program} -c`);
        const passed = words.slice(i + 1);
        // Of a text that is not known it cannot be said what it does with its arguments.
        if (text === null) this.#refuse(passed, `${program} -c`);
        const withArguments = passed.some((argument) => this.#carries(argument));
        this.#nested([word], withArguments);
        return;
      } else {
        // What a variable holds may be options.
        if (text === null && word.parts.some((part) => part.kind !== 'text' && part.kind !== 'mark' && part.quote === ''))
          this.#refuse(words.slice(i), program);
        this.#file(program, word, command);
        return;
      }
    }
    this.#input(program, command);
  }

  /** A file of commands. */
  #file(program: string, word: Word | undefined, command: ShellCommand): void {
    const text = this.#text(word);
    if (text === null) return;
    if (READS_INPUT.has(text)) this.#input(program, command);
    else this.#run.add(plainName(text));
  }

  /** Text for a shell that is the same whatever the values are. */
  #nested(words: readonly Word[], withArguments: boolean): void {
    const texts = words.map((word) => this.#text(word));
    if (texts.includes(null)) return;
    const { commands } = readShell(texts.join(' '), []);
    refuseReadAgain(commands, new Set(), this.#given, [...this.#filled, ...(withArguments ? ['@'] : [])]);
  }

  #interpreter(program: string, words: readonly Word[], command: ShellCommand): void {
    let option = false;
    for (const [i, word] of words.entries()) {
      const text = this.#text(word);
      const first = text ?? firstText(word);
      if (first.startsWith('-') && first !== '-') {
        if (first === '-m') return;
        if (CODE.test(first)) {
          this.#refuse(words.slice(i, i + 2), `${program} ${first}`);
          return;
        }
        if (/^-[ceE]./.test(first)) this.#refuse([word], `${program} ${first.slice(0, 2)}`);
        option = true;
        continue;
      }
      this.#file(program, word, command);
      // Behind an option it may be the value of that.
      if (!option || text === null || SCRIPT.test(text)) return;
      option = false;
    }
    if (words.length === 0) this.#input(program, command);
  }

  /** Files are plain words behind the code; in the code a value would be code. */
  #filter(program: string, words: readonly Word[]): void {
    for (const [i, word] of words.entries()) {
      const before = i === 0 ? '-' : (this.#text(words[i - 1]) ?? '');
      const first = word.parts.find((part) => part.kind !== 'text' || part.text !== '');
      const file = first !== undefined && this.#isValue(first) && !before.startsWith('-');
      if (!file) this.#refuse([word], program);
    }
  }

  /** What other programs take for commands behind `-c`, `--wrap` and the like. */
  #options(words: readonly Word[], name: string | null): void {
    if (name !== null && NO_COMMANDS.has(base(name))) return;
    for (const [i, word] of words.entries()) {
      const text = firstText(word);
      if (COMMAND_OPTION_WITH.test(text)) this.#refuse([word], text.slice(0, text.indexOf('=')));
      const before = i === 0 ? '' : (this.#text(words[i - 1]) ?? '');
      if (!COMMAND_OPTION.test(before)) continue;
      // `-c` of a program that is known by name is more often a path.
      const written = word.parts.some((part) => part.kind === 'text' && /[\s;&|'"()<>$`]/.test(part.text));
      if (written || name === null || before.startsWith('--')) this.#refuse([word], before);
    }
  }

  /** What a program reads as commands from its input may be what was printed before. */
  #input(program: string, { at, redirections }: ShellCommand): void {
    for (const { operator, word } of redirections) if (operator === '<<<') this.#refuse([word], `the input of ${program}`);
    for (const other of this.#commands) if (other.at < at) this.#refuse(wordsOf(other), `the input of ${program}`);
  }

  #refuse(words: readonly Word[], where: string): void {
    if (words.some((word) => this.#carries(word))) throw new ReadAgain(where);
  }

  /** Outside quotes a shell makes several words of what a variable holds. */
  #split({ parts }: Word): void {
    for (const part of parts) {
      if (part.kind === 'opaque' && this.#isValue(part)) throw new ReadAgain(part.text);
      if (part.kind !== 'variable' || part.quote !== '') continue;
      if (this.#isFilled(part.name) && !this.#given.has(part.name)) throw new ReadAgain(`$${part.name} outside double quotes`, part.name);
    }
  }

  #carries(word: Word): boolean {
    return word.parts.some((part) => this.#isValue(part));
  }

  #isValue(part: WordPart): boolean {
    if (part.kind === 'mark') return this.#marks.has(part.mark);
    if (part.kind === 'variable') return this.#isFilled(part.name) || this.#given.has(part.name);
    if (part.kind === 'commands') return flat(part.script).some((command) => wordsOf(command).some((word) => this.#carries(word)));
    if (part.kind !== 'opaque') return false;
    return [...part.text.matchAll(/[A-Za-z_]\w*|[0-9@*]/g)].some(([name]) => this.#isFilled(name) || this.#given.has(name));
  }

  #isFilled(name: string): boolean {
    return this.#filled.has(/^(?:[0-9]+|\*)$/.test(name) ? '@' : name);
  }

  /** What a word is, where that is plain text. */
  #text(word: Word | undefined): string | null {
    let text = '';
    for (const part of word?.parts ?? []) {
      const piece = part.kind === 'text' ? part.text : part.kind === 'variable' ? this.#plain.get(part.name) : undefined;
      if (piece === undefined || (part.kind === 'variable' && this.#isFilled(part.name))) return null;
      text += piece;
    }
    return word === undefined ? null : text;
  }
}

/** Commands and those within their words. */
function flat(commands: readonly ShellCommand[]): ShellCommand[] {
  return commands.flatMap((command) => [
    command,
    ...wordsOf(command).flatMap(({ parts }) => parts.flatMap((part) => (part.kind === 'commands' ? flat(part.script) : []))),
  ]);
}

function firstText({ parts: [first] }: Word): string {
  return first?.kind === 'text' ? first.text : '';
}

function base(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1);
}

function plainName(name: string | null): string {
  return name === null ? '' : name.replace(/^(?:\.\/)+/, '');
}
