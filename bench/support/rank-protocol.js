/**
 * The protocol by which many processes make one merge, event by event, on machines that are only numbers:
 * who claims what when, and how fast bytes flow meanwhile. A seed decides a run.
 */
import { median } from '../../dist/base/numbers/median.js';
import { randomOf } from '../../dist/base/numbers/random.js';

/** What a run is of. Bytes, seconds and bytes a second. */
export const USUAL = {
  ranks: 64,
  /** Of the file system, reading and writing together. */
  fileSystem: 640e9,
  /** Of a node, both ways together; each node's differs by up to `spread`, evenly. */
  node: 10e9,
  spread: 0.1,
  /** Nodes whose rate is `slowness` of that. */
  slow: 0,
  slowness: 0.3,
  /** Ranks that end without a word, each at an even time within the ideal one. */
  deaths: 0,
  /** Whoever is at it ends in the middle of it. */
  deathOf: /** @type {'planner' | 'finisher' | null} */ (null),
  bytes: 2e12,
  members: 10,
  fileBytes: 5e9,
  unitBytes: 2 ** 30,
  startSeconds: 3,
  planSeconds: 12,
  adoptSeconds: 1,
  claimSeconds: 0.001,
  /** Before the bytes of a unit flow: its inputs are opened, the calls of the unit before drain. */
  openSeconds: 0.03,
  /** From the last byte of a unit to its line in the journal, beside the next unit's work. */
  syncSeconds: 0.05,
  finishSeconds: 2,
  timeout: 60,
  /** A unit is done again from so many of the idle rank's own median times on. */
  redo: 2,
  pollFrom: 0.02,
  pollTo: 1,
  /** Whether a rank looks through the claims at once, instead of trying one unit after the other. */
  listing: false,
  listSeconds: 0.005,
  /** Whether ranks at work look at the others' signs of life too, once a second. */
  watches: false,
  /** Ranks that may be at one unit, those not counted that were taken over. */
  mostAtOne: Number.POSITIVE_INFINITY,
  /** Whether beats say how long their rank has been at its unit, so that nobody has to watch it first. */
  tells: false,
  /**
   * Seconds of silence from which a rank's plan and units are made again beside it, though it is not taken
   * over yet: they are the same bytes, whoever makes them.
   */
  quiet: 60,
};
/** @typedef {typeof USUAL} Setting */

/**
 * @typedef {object} Outcome
 * @property {number} seconds from the scheduler's start to the published output
 * @property {number} ideal seconds at best
 * @property {number} moving of these, what the bytes take
 * @property {'nodes' | 'file system'} limit of their rate
 * @property {number} toFirstByte
 * @property {number} flowing from the first byte to the last line in a journal
 * @property {number} finishing the rest
 * @property {number} again units that were begun again
 */

/**
 * Seconds that one run could take at best: planning by one process, and every byte that is read or written
 * at the rate of the file system or of all nodes together, whichever is less. Nodes that die count whole;
 * start, claims, adoption and finish do not count.
 * @param {Setting} setting @param {readonly number[]} rates of the nodes
 */
function atBest({ bytes, members, fileSystem, planSeconds }, rates) {
  const nodes = rates.reduce((sum, rate) => sum + rate, 0);
  const moving = (bytes * (members + 1)) / Math.min(fileSystem, nodes);
  const limit = /** @type {'nodes' | 'file system'} */ (nodes < fileSystem ? 'nodes' : 'file system');
  return { ideal: planSeconds + moving, moving, limit };
}

/** Bytes of output of each unit: files are cut at multiples of the unit. @param {Setting} setting */
function unitsOf({ bytes, fileBytes, unitBytes }) {
  const units = [];
  for (let file = 0; file < bytes; file += fileBytes) {
    const size = Math.min(fileBytes, bytes - file);
    for (let at = 0; at < size; at += unitBytes) units.push(Math.min(unitBytes, size - at));
  }
  return units;
}

/** Events in the order of their times. */
class Agenda {
  /** @type {{ at: number, run: () => void }[]} */
  #heap = [];

  /** @param {number} at @param {() => void} run */
  add(at, run) {
    const heap = this.#heap;
    let i = heap.push({ at, run }) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (heap[parent].at <= heap[i].at) break;
      [heap[parent], heap[i]] = [heap[i], heap[parent]];
      i = parent;
    }
  }

  get next() {
    return this.#heap[0]?.at ?? Number.POSITIVE_INFINITY;
  }

  take() {
    const heap = this.#heap;
    const first = heap[0];
    const last = /** @type {{ at: number, run: () => void }} */ (heap.pop());
    if (heap.length > 0) {
      heap[0] = last;
      for (let i = 0; ; ) {
        let least = i;
        for (const child of [2 * i + 1, 2 * i + 2]) if (child < heap.length && heap[child].at < heap[least].at) least = child;
        if (least === i) break;
        [heap[least], heap[i]] = [heap[i], heap[least]];
        i = least;
      }
    }
    return first;
  }
}

/**
 * @typedef {object} Rank
 * @property {number} index
 * @property {number} rate most bytes a second
 * @property {boolean} alive
 * @property {number} died when it did
 * @property {number} place among all, the slowest first
 * @property {number} begun when it was claimed
 * @property {number[]} times that its units took
 * @property {Float64Array} seen when it first saw each unit claimed; infinite where it has not
 * @property {Float64Array} silent when it first saw each rank dead; infinite where it has not
 * @property {number} wait until its next look
 * @property {number} known units that were not finished when it last looked
 */

/** What only one does: the plan, the finish. */
class Step {
  /** Who claimed it last. @type {Rank | null} */
  holder = null;
  done = false;
}

class Run {
  #now = 0;
  /** When the rates were settled last. */
  #since = 0;
  #agenda = new Agenda();
  #plan = new Step();
  #finish = new Step();
  #first = Number.NaN;
  #last = Number.NaN;
  #again = 0;
  /** When the next flow ends, and of which rank it is. */
  #flowEnds = Number.POSITIVE_INFINITY;
  #flowOf = -1;

  /** @param {Setting} setting @param {number} seed */
  constructor(setting, seed) {
    const random = randomOf(seed, 17);
    const { ranks, node, spread, slow, slowness, deaths } = setting;
    this.setting = setting;
    this.sizes = unitsOf(setting);
    const count = this.sizes.length;
    /** @type {Rank[]} */
    this.ranks = Array.from({ length: ranks }, (_, index) => ({
      ...{ index, place: 0, alive: true, died: 0, begun: 0, wait: setting.pollFrom, known: count },
      rate: node * (1 + spread * (2 * random() - 1)),
      times: /** @type {number[]} */ ([]),
      seen: new Float64Array(count).fill(Number.POSITIVE_INFINITY),
      silent: new Float64Array(ranks).fill(Number.POSITIVE_INFINITY),
    }));
    // Which nodes they are is up to the seed.
    const drawn = this.ranks.map((rank) => ({ rank, at: random() })).sort((a, b) => a.at - b.at);
    for (const { rank } of drawn.slice(0, slow)) rank.rate *= slowness;
    this.best = atBest(
      setting,
      this.ranks.map(({ rate }) => rate),
    );
    for (const { rank } of drawn.slice(slow, slow + deaths)) this.#agenda.add(random() * this.best.ideal, () => this.#die(rank));
    for (const rank of this.ranks)
      this.#agenda.add(
        random() * setting.startSeconds,
        this.#of(rank, () => this.#join(rank)),
      );
    this.byRate = [...this.ranks].sort((a, b) => a.rate - b.rate);
    for (const [place, rank] of this.byRate.entries()) rank.place = place;
    // By place: most bytes a second, bytes a second now, the unit in flow (-1: none), its bytes that are to flow.
    this.rates = Float64Array.from(this.byRate, ({ rate }) => rate);
    this.speed = new Float64Array(ranks);
    this.unitAt = new Int32Array(ranks).fill(-1);
    this.left = new Float64Array(ranks);
    /** Ranks that claimed each unit, the first one first. @type {Rank[][]} */
    this.claims = this.sizes.map(() => []);
    this.undone = new Set(this.sizes.keys());
    /** When each was claimed for the first time. */
    this.claimed = new Float64Array(count);
    this.unclaimed = count;
  }

  /** @returns {Outcome} */
  outcome() {
    while (!this.#finish.done) this.#advance();
    const [seconds, toFirstByte] = [this.#now, this.#first];
    return {
      ...this.best,
      ...{ seconds, toFirstByte, flowing: this.#last - this.#first, finishing: seconds - this.#last, again: this.#again },
    };
  }

  /** Goes to the next event or the end of the next flow, whichever comes first. */
  #advance() {
    const { next } = this.#agenda;
    this.#now = Math.min(next, this.#flowEnds);
    if (this.#now === Number.POSITIVE_INFINITY) throw new Error('every rank is dead');
    if (this.#flowEnds < next) this.#flowed(this.byRate[this.#flowOf]);
    else this.#agenda.take().run();
  }

  /** Lets bytes flow until now, before who takes part changes. */
  #settle() {
    const seconds = this.#now - this.#since;
    this.#since = this.#now;
    if (seconds === 0) return;
    for (let p = 0; p < this.left.length; p++) if (this.unitAt[p] >= 0) this.left[p] -= this.speed[p] * seconds;
  }

  /** Max-min fair: whoever cannot use an even share leaves the rest to the others. */
  #share() {
    let rest = this.setting.fileSystem;
    let others = 0;
    for (const unit of this.unitAt) if (unit >= 0) others++;
    this.#flowEnds = Number.POSITIVE_INFINITY;
    for (let p = 0; p < this.left.length; p++) {
      if (this.unitAt[p] < 0) continue;
      const share = Math.min(this.rates[p], rest / others--);
      this.speed[p] = share;
      rest -= share;
      const end = this.#since + this.left[p] / share;
      if (end >= this.#flowEnds) continue;
      this.#flowEnds = end;
      this.#flowOf = p;
    }
  }

  /** What a rank does, if it is alive by then. @param {Rank} rank @param {() => void} work */
  #of = (rank, work) => () => {
    if (rank.alive) work();
  };

  /** @param {number} seconds @param {Rank} rank @param {() => void} work */
  #after(seconds, rank, work) {
    this.#agenda.add(this.#now + seconds, this.#of(rank, work));
  }

  /** @param {Rank} rank */
  #die(rank) {
    this.#settle();
    rank.alive = false;
    rank.died = this.#now;
    this.unitAt[rank.place] = -1;
    this.#share();
  }

  /** @param {Rank} rank */
  #join(rank) {
    const { planSeconds, adoptSeconds } = this.setting;
    if (this.#plan.done) return this.#after(adoptSeconds, rank, () => this.#next(rank));
    this.#step(
      rank,
      this.#plan,
      'planner',
      planSeconds,
      () => this.#next(rank),
      () => this.#join(rank),
    );
  }

  /**
   * Does what only one does, or looks again later whether it is done.
   * @param {Rank} rank @param {Step} step @param {'planner' | 'finisher'} name @param {number} seconds
   * @param {() => void} then @param {() => void} look
   */
  #step(rank, step, name, seconds, then, look) {
    const { deathOf, claimSeconds, timeout, quiet } = this.setting;
    const { holder } = step;
    if (holder !== null && !this.#isSilent(rank, holder, name === 'planner' ? quiet : timeout)) return this.#later(rank, look);
    if (holder === null && deathOf === name) this.#agenda.add(this.#now + claimSeconds + seconds / 2, () => this.#die(rank));
    step.holder = rank;
    this.#after(claimSeconds + seconds, rank, () => {
      step.done = true;
      then();
    });
  }

  /** Looks again later, ever more seldom. @param {Rank} rank @param {() => void} look */
  #later(rank, look) {
    this.#after(rank.wait, rank, look);
    rank.wait = Math.min(this.setting.pollTo, 2 * rank.wait);
  }

  /** @param {Rank} rank @param {Rank} other @param {number} timeout */
  #isSilent({ silent }, other, timeout) {
    if (other.alive) return false;
    silent[other.index] = Math.min(silent[other.index], this.setting.watches ? other.died : this.#now);
    return this.#now - silent[other.index] >= timeout;
  }

  /** Claims the next unit that nobody has, or looks for something to do again. @param {Rank} rank */
  #next(rank) {
    const { ranks, claimSeconds, listing, listSeconds } = this.setting;
    const count = this.sizes.length;
    const start = Math.floor((rank.index * count) / ranks);
    let tries = 0;
    if (this.unclaimed > 0) {
      for (let k = 0; k < count; k++) {
        const unit = (start + k) % count;
        if (rank.seen[unit] <= this.#now) continue;
        tries++;
        if (this.claims[unit].length > 0) {
          rank.seen[unit] = this.#now;
          continue;
        }
        const cost = listing ? listSeconds + claimSeconds : tries * claimSeconds;
        return this.#after(cost, rank, () => {
          // Somebody was faster.
          if (this.claims[unit].length > 0) return this.#next(rank);
          this.unclaimed--;
          this.claimed[unit] = this.#now;
          this.#begin(rank, unit);
        });
      }
    } else {
      for (let unit = 0; unit < count; unit++) {
        if (rank.seen[unit] <= this.#now) continue;
        tries++;
        rank.seen[unit] = this.#now;
      }
    }
    rank.wait = this.setting.pollFrom;
    this.#after(listing ? listSeconds : tries * claimSeconds, rank, () => this.#idle(rank));
  }

  /** @param {Rank} rank @param {number} unit */
  #begin(rank, unit) {
    this.claims[unit].push(rank);
    rank.seen[unit] = this.#now;
    rank.begun = this.#now;
    this.#after(this.setting.openSeconds, rank, () => {
      if (Number.isNaN(this.#first)) this.#first = this.#now;
      this.#settle();
      this.unitAt[rank.place] = unit;
      this.left[rank.place] = this.sizes[unit] * (this.setting.members + 1);
      this.#share();
    });
  }

  /** The last byte of a unit is there. @param {Rank} rank */
  #flowed(rank) {
    this.#settle();
    const unit = this.unitAt[rank.place];
    this.unitAt[rank.place] = -1;
    this.#share();
    rank.times.push(this.#now - rank.begun);
    this.#after(this.setting.syncSeconds, rank, () => this.#journaled(unit));
    this.#next(rank);
  }

  /** @param {number} unit */
  #journaled(unit) {
    if (this.undone.delete(unit)) this.#last = this.#now;
  }

  /** Nothing is unclaimed. @param {Rank} rank */
  #idle(rank) {
    const { finishSeconds, redo, timeout, claimSeconds, tells, quiet, mostAtOne } = this.setting;
    if (this.undone.size === 0) {
      return this.#step(
        rank,
        this.#finish,
        'finisher',
        finishSeconds,
        () => {},
        () => this.#idle(rank),
      );
    }
    if (this.undone.size < rank.known) [rank.known, rank.wait] = [this.undone.size, this.setting.pollFrom];
    const age = rank.times.length === 0 ? timeout : redo * median(rank.times);
    let best = -1;
    for (const unit of this.undone) {
      const claimants = this.claims[unit];
      if (claimants.includes(rank)) continue;
      rank.seen[unit] = Math.min(rank.seen[unit], this.#now);
      const silent = claimants.every((claimant) => this.#isSilent(rank, claimant, quiet));
      if (claimants.filter((claimant) => !this.#isSilent(rank, claimant, timeout)).length >= mostAtOne) continue;
      const last = claimants[claimants.length - 1];
      const since = tells && last.alive ? last.begun : rank.seen[unit];
      if (!silent && this.#now - since < age) continue;
      if (best < 0 || this.#isBefore(unit, best)) best = unit;
    }
    if (best < 0) return this.#later(rank, () => this.#idle(rank));
    const { length } = this.claims[best];
    this.#after(claimSeconds, rank, () => {
      // Claimed again, or finished, a moment before.
      if (!this.undone.has(best) || this.claims[best].length > length) return this.#idle(rank);
      this.#again++;
      this.#begin(rank, best);
    });
  }

  /**
   * Whether a unit is to be done again before another one: fewer are at it, or its first claim is older.
   * @param {number} a @param {number} b
   */
  #isBefore(a, b) {
    const [less, more] = [this.claims[a].length, this.claims[b].length];
    return less < more || (less === more && this.claimed[a] < this.claimed[b]);
  }
}

/** @param {Partial<Setting>} setting what is not as usual @param {number} seed */
export function simulate(setting, seed) {
  return new Run({ ...USUAL, ...setting }, seed).outcome();
}
