import { formatSeconds } from '../../render/format.ts';
import type { StudyEvent, StudyProgress } from './types.ts';
import { scoreText } from './words.ts';

/** Trials under way that are named. */
const NAMED = 3;

/** What a study does now, by what it tells: for a line of the terminal, and for its page. */
export class StudyNow {
  readonly #running = new Map<number, boolean>();
  #merging: readonly number[] = [];
  #progress: { readonly is: StudyProgress; readonly at: number } | null = null;
  #began = false;

  hear(event: StudyEvent): void {
    if (event.type === 'merging') this.#merging = event.trials;
    if (event.type === 'evaluating') {
      this.#merging = [];
      this.#running.set(event.trial, event.validation === true);
      if (event.progress !== undefined) this.#progress = { is: event.progress, at: performance.now() };
    }
    if (event.type === 'trial') this.#running.delete(event.trial.id);
    if (event.type !== 'warning' && event.type !== 'note') this.#began = true;
  }

  /** `evaluating trial 4 (5 of 12)`. */
  get doing(): string {
    const running = [...this.#running.keys()];
    const verb = [...this.#running.values()].includes(true) ? 'validating' : 'evaluating';
    const parts = [
      ...(running.length === 0 ? [] : [`${verb} ${trialsText(running)}${this.#place()}`]),
      ...(this.#merging.length === 0 ? [] : [`merging ${trialsText(this.#merging)} in one read`]),
    ];
    if (parts.length > 0) return parts.join(', ');
    const { step = 0, of = 1 } = this.#progress?.is ?? {};
    if (step >= of) return 'finishing';
    return this.#began ? 'choosing what comes next' : 'beginning';
  }

  /** `best so far 0.612 of trial 3`; null where there is none. */
  get best(): string | null {
    return bestText(this.#progress?.is);
  }

  /** `about 12 min left`, less what passed since it was guessed; null where nobody knows. */
  get left(): string | null {
    if (this.#progress === null || this.#progress.is.secondsLeft === null) return null;
    const seconds = this.#progress.is.secondsLeft - (performance.now() - this.#progress.at) / 1000;
    return seconds > 0 ? `about ${leftText(seconds)} left` : null;
  }

  #place(): string {
    return this.#progress === null ? '' : ` (${this.#progress.is.step} of ${this.#progress.is.of})`;
  }
}

function trialsText(ids: readonly number[]): string {
  const shown = ids.slice(0, NAMED).join(', ');
  if (ids.length > NAMED) return `trials ${shown} and ${ids.length - NAMED} more`;
  return `${ids.length === 1 ? 'trial' : 'trials'} ${shown}`;
}

/** ` (5 of 12; best so far 0.612 of trial 3; about 12 min left)`. */
export function progressText(progress: StudyProgress | undefined): string {
  if (progress === undefined) return '';
  const { step, of, secondsLeft } = progress;
  const parts = [`${step} of ${of}`, bestText(progress), secondsLeft === null ? null : `about ${leftText(secondsLeft)} left`];
  return ` (${parts.filter((part) => part !== null).join('; ')})`;
}

function bestText(progress: StudyProgress | undefined): string | null {
  const best = progress?.best ?? null;
  return best === null ? null : `best so far ${scoreText(best.score, null)} of trial ${best.trial}`;
}

/** A guess has no thousandths. */
function leftText(seconds: number): string {
  return seconds < 99.5 ? `${Math.max(1, Math.round(seconds))} s` : formatSeconds(seconds);
}
