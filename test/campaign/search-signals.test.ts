import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { isAlive, writtenNumber } from '../support/evaluating.ts';
import { runShell } from '../support/faults-shell.ts';
import {
  FAST_SCORE,
  held,
  inTrial,
  removePlaces,
  runDisturbed,
  type SearchPlace,
  searchPlace,
  searchWords,
  trialsOf,
  wholeLines,
  worksIn,
} from '../support/searching.ts';

afterAll(removePlaces);

interface Phase {
  readonly signal: 'SIGINT' | 'SIGTERM';
  /** What the search says when the signal comes; absent where a command waits. */
  readonly when?: RegExp;
  readonly eval?: (place: SearchPlace) => string;
  readonly options?: (place: SearchPlace) => readonly string[];
  /** Whether --eval-cancel has something to call off. */
  readonly cancels?: boolean;
  /** Trials that have ended. */
  readonly least: number;
}

const PHASES: Readonly<Record<string, Phase>> = {
  'in the setup': { signal: 'SIGINT', options: (place) => ['--eval-setup', held(place, 'true')], least: 0 },
  'while it scores the newest': {
    signal: 'SIGTERM',
    eval: (place) => `${held(place, inTrial(0))}; ${FAST_SCORE}`,
    cancels: true,
    least: 0,
  },
  'while it merges': { signal: 'SIGTERM', when: /merging trials/, least: 1 },
  'while it scores a merge': { signal: 'SIGINT', eval: (place) => `${held(place, inTrial(2))}; ${FAST_SCORE}`, cancels: true, least: 2 },
  'while it scores three': {
    signal: 'SIGTERM',
    eval: (place) => `${held(place, inTrial(3))}; ${FAST_SCORE}`,
    options: () => ['--parallel', '3'],
    cancels: true,
    least: 1,
  },
  'between two attempts': {
    signal: 'SIGINT',
    when: /asks to be tried again/,
    eval: ({ folder }) => `if ${inTrial(2)} && ! [ -e ${folder}/tried ]; then touch ${folder}/tried; exit 75; fi; ${FAST_SCORE}`,
    least: 2,
  },
  'in the validation': {
    signal: 'SIGINT',
    options: (place) => ['--validate', `${held(place, inTrial(1))}; ${FAST_SCORE}`],
    cancels: true,
    least: 7,
  },
  'while it makes the output': { signal: 'SIGTERM', when: /making /, least: 7 },
};

describe.concurrent('a signal to merge search', () => {
  it.each(Object.keys(PHASES))(
    '%s ends what runs, leaves no merge, and the command that it prints goes on to the same end',
    async (name) => {
      const { signal, when, least, cancels = false, ...phase } = PHASES[name]!;
      const place = searchPlace();
      const [cancelled, pidFile] = [join(place.folder, 'cancelled'), join(place.folder, 'pid')];
      const options = [...(phase.options?.(place) ?? []), '--eval-cancel', `echo {trial} >> ${cancelled}`];
      const words = searchWords(place, { eval: phase.eval?.(place) ?? FAST_SCORE, options });
      const ended = await runDisturbed(words, { signal: { name: signal, when: when ?? pidFile } });
      expect(ended, ended.stderr).toMatchObject({ code: signal === 'SIGINT' ? 130 : 143, signal: null, stdout: '' });
      expect(ended.stderr).toContain('error[E_INTERRUPTED]');
      if (when === undefined) expect(isAlive(await writtenNumber(pidFile))).toBe(false);
      expect(existsSync(cancelled)).toBe(cancels);
      expect(worksIn(place)).toEqual([]);
      expect(existsSync(place.out)).toBe(false);
      const kept = wholeLines(place.trials);
      expect(kept.length).toBeGreaterThanOrEqual(least);

      rmSync(join(place.folder, 'held'), { force: true });
      const command = /help: Go on with: merge (.*)$/m.exec(ended.stderr)?.[1];
      expect(command !== undefined, 'the command is printed where something was kept').toBe(kept.length > 0);
      const again = command === undefined ? await runDisturbed(words) : await runShell(`"$@" ${command}`, []);
      expect(again.code, again.stderr).toBe(0);
      expect(wholeLines(place.trials).slice(0, kept.length)).toEqual(kept);
      expect(trialsOf(place).map(({ status }) => status)).toEqual(Array(7).fill('complete'));
      expect(existsSync(join(place.out, 'model.safetensors'))).toBe(true);
    },
  );

  it('that comes to a resumed search before its first trial says how to go on as well', async () => {
    const place = searchPlace();
    const words = searchWords(place, { eval: `${held(place, inTrial(2))}; ${FAST_SCORE}` });
    const pid = join(place.folder, 'pid');
    await runDisturbed(words, { signal: { name: 'SIGINT', when: pid } });
    rmSync(pid);
    const ended = await runDisturbed([...words, '--resume'], { signal: { name: 'SIGINT', when: pid } });
    expect(ended.code).toBe(130);
    expect(ended.stderr).toMatch(/Go on with: .* --resume/);
    expect(trialsOf(place)).toHaveLength(2);
  });
});

describe.concurrent('two searches in one folder', () => {
  it('the second is refused and told who has it; where the first was killed, it takes over at once', async () => {
    const place = searchPlace();
    const pid = join(place.folder, 'pid');
    const words = searchWords(place, { eval: `${held(place, inTrial(2))}; ${FAST_SCORE}` });
    const stop = join(place.folder, 'stop');
    const first = runDisturbed(words, { signal: { name: 'SIGKILL', when: stop } });
    const child = await writtenNumber(pid);
    const before = readFileSync(place.trials, 'utf8');
    for (const more of [[], ['--resume'], ['--force']]) {
      const second = await runDisturbed([...words, ...more]);
      expect(second.code).toBe(4);
      expect(second.stderr).toContain('error[E_SEARCH_BUSY]');
      expect(second.stderr).toMatch(/by process \d+ on /);
    }
    expect(readFileSync(place.trials, 'utf8')).toBe(before);
    expect(worksIn(place)).toHaveLength(1);
    writeFileSync(stop, '');
    expect((await first).signal).toBe('SIGKILL');
    // Nobody is there to end what a killed search ran.
    process.kill(child);
    rmSync(join(place.folder, 'held'));
    const third = await runDisturbed([...words, '--resume']);
    expect(third.code, third.stderr).toBe(0);
    expect(worksIn(place)).toEqual([]);
    expect(trialsOf(place)).toHaveLength(7);
  });
});

describe.concurrent('an evaluator', () => {
  it('that fails in every way it can fails its trials, and the search goes on to its end', async () => {
    const place = searchPlace();
    const child = join(place.folder, 'child');
    const faults = [
      '2) echo what a nice model;;',
      '3) echo NaN;;',
      '4) ;;',
      '5) sleep 600;;',
      '6) exit 3;;',
      '7) exit 125;;',
      `8) (sleep 1; echo 9 > $MERGE_RESULT) & ;;`,
      `9) sleep 600 & echo $! > ${child}; ${FAST_SCORE};;`,
      '10) kill -9 $$;;',
    ];
    const words = searchWords(place, {
      eval: `case $MERGE_TRIAL in ${faults.join(' ')} *) ${FAST_SCORE};; esac`,
      trials: 13,
      options: ['--timeout', '3s', '--parallel', '2', '--sampler', 'sobol'],
    });
    const { code, stderr } = await runDisturbed(words);
    expect(code, stderr).toBe(0);
    const trials = trialsOf(place).sort((a, b) => a.id - b.id);
    expect(trials.map(({ status }) => status[0]).join('')).toBe('ccfffffsfcfccc');
    const reasons = trials.map(({ reason }) => reason);
    expect(reasons[2]).toContain('it printed no score');
    expect(reasons[3]).toMatch(/NaN|finite|no score/);
    expect(reasons[5]).toBe('it took longer than 3 s');
    expect(reasons[6]).toBe('it ended with exit code 3');
    expect(reasons[10]).toContain('SIGKILL');
    expect(isAlive(await writtenNumber(child))).toBe(false);
    expect(worksIn(place)).toEqual([]);
    const { best } = JSON.parse(readFileSync(join(place.dir, 'result.json'), 'utf8'));
    expect(trials[best.trial].status).toBe('complete');
  });

  it('whose scores may be better either way is asked about once, and the same command with --goal goes on with what it scored', async () => {
    const place = searchPlace();
    const log = join(place.folder, 'scored');
    const command = `echo $MERGE_TRIAL >> ${log}; ${FAST_SCORE}`;
    const first = await runDisturbed(searchWords(place, { eval: command, goal: [] }));
    expect(first.code).toBe(2);
    expect(first.stderr).toContain('error[E_GOAL]');
    const unsaid = await runDisturbed([...searchWords(place, { eval: command, goal: [] }), '--resume']);
    expect(unsaid.stderr, 'nothing is paid for again to ask again').toContain('error[E_GOAL]');
    const again = await runDisturbed(searchWords(place, { eval: command }));
    expect(again.code, again.stderr).toBe(0);
    expect(readFileSync(log, 'utf8').trim().split('\n')).toHaveLength(7);
    expect(first.stderr).toContain('(1 of 7)');
    expect(again.stderr).toMatch(/\(7 of 7; best so far \S+ of trial \d; about \d+ s left\)/);
    const done = await runDisturbed(searchWords(place, { eval: command }));
    expect(done.stderr, 'what has a conclusion is not gone on with unasked').toContain('error[E_OUTPUT_EXISTS]');
  });
});
