import { describe, expect, it } from 'vitest';
import { randomOf } from '../../../src/base/numbers/random.ts';
import { type Clock, Pace, ReadThrottle } from '../../../src/merge/engine/throttle.ts';

/** A clock that stands still but for what is slept. */
class Time implements Clock {
  seconds = 100;
  slept = 0;

  now(): number {
    return this.seconds;
  }

  async sleep(seconds: number): Promise<void> {
    this.seconds += seconds;
    this.slept++;
  }
}

describe('a throttle', () => {
  it('lets no more be begun than a tenth of a second of the rate and what came in since', async () => {
    for (const seed of [1, 2, 3]) {
      const random = randomOf(seed);
      const time = new Time();
      const throttle = new ReadThrottle(1000, undefined, time);
      let begun = 0;
      for (let i = 0; i < 300; i++) {
        // Calls take time of their own, now and then more than the bucket holds.
        if (random() < 0.5) time.seconds += random() * 0.5;
        const bytes = 1 + Math.floor(random() * (random() < 0.1 ? 2000 : 60));
        const before = time.seconds;
        await throttle.take(bytes, undefined);
        begun += bytes;
        expect(begun).toBeLessThanOrEqual(100 + 1000 * (time.seconds - 100) + 1e-6);
        // Nothing waits for longer than for all of its own bytes.
        expect(time.seconds - before).toBeLessThanOrEqual(bytes / 1000 + 2e-4);
      }
    }
  });

  it('does not wait for what comes slower than the rate', async () => {
    const time = new Time();
    const throttle = new ReadThrottle(1000, undefined, time);
    for (let i = 0; i < 50; i++) {
      time.seconds += 0.05;
      await throttle.take(50, undefined);
    }
    expect(time.slept).toBe(0);
  });

  it('is of the whole job: a share of it is this process’s, and may change while something waits', async () => {
    const time = new Time();
    let share = 0.25;
    const throttle = new ReadThrottle(1000, () => share, time);
    expect(throttle.callBytes).toBe(12.5);
    await throttle.take(25, undefined);
    await throttle.take(250, undefined);
    expect(time.seconds).toBeCloseTo(101, 6);
    const waiting = throttle.take(1000, undefined);
    // Three of four ranks have gone: from here on all of the rate is this one's.
    share = 1;
    await waiting;
    expect(time.seconds).toBeLessThan(103);
  });

  it('waits no longer when it is aborted, and says why', async () => {
    const abort = new AbortController();
    const throttle = new ReadThrottle(1);
    const waiting = throttle.take(1e9, abort.signal);
    abort.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await expect(throttle.take(1, abort.signal)).rejects.toThrow('enough');
  });
});

describe('what native calls are cut into', () => {
  const batches = () => {
    const budgets: number[] = [];
    const next = (budget: number) => {
      budgets.push(budget);
      return budgets.length > 3 ? undefined : { bytesRead: budget };
    };
    return { budgets, next };
  };

  it('is left alone without a bound', () => {
    const { next } = batches();
    expect(new Pace({}).of(next)).toBe(next);
  });

  it('is a twentieth of a second of the rate at most, and no more than was wanted', async () => {
    const { budgets, next } = batches();
    const paced = new Pace({ maxRead: 1e6 }).of(next);
    expect(await paced(1e9)).toEqual({ bytesRead: 50_000 });
    expect(await paced(100)).toEqual({ bytesRead: 100 });
    await paced(1e9);
    expect(await paced(1e9)).toBeUndefined();
    expect(budgets).toEqual([50_000, 100, 50_000, 50_000]);
  });
});
