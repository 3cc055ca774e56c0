import { chmodSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { canBeAnother, fifo, giveAway, pictureOf, secretIn } from '../support/attacker.ts';
import { CAMPAIGN_MS } from '../support/campaign.ts';
import { run } from '../support/faults-merge.ts';
import { FAST_SCORE, removePlaces, type SearchPlace, searchPlace, searchWords, trialsOf } from '../support/searching.ts';

afterAll(removePlaces);

type Planting = (place: SearchPlace, secret: string) => void;

const inside =
  (name: string, plant: (path: string, secret: string) => void): Planting =>
  ({ dir }, secret) => {
    mkdirSync(dir, { recursive: true });
    mkdirSync(dirname(join(dir, name)), { recursive: true, mode: 0o700 });
    plant(join(dir, name), secret);
  };
const link = (path: string, secret: string) => symlinkSync(secret, path);
const homeLink = (path: string, secret: string) => symlinkSync(dirname(secret), path);
const foreignFile = (path: string) => {
  writeFileSync(path, '{"evil":1}\n');
  giveAway(path);
};
const foreignFolder = (path: string) => {
  mkdirSync(path, { mode: 0o777 });
  giveAway(path);
};

/** Refused, with these codes, before anything runs. */
const REFUSED: Readonly<Record<string, Planting>> = {
  'a folder of a stranger': ({ dir }) => foreignFolder(dir),
  'a folder of a stranger, open to all': ({ dir }) => {
    foreignFolder(dir);
    chmodSync(dir, 0o777);
  },
  'a folder that all may write to': ({ dir }) => {
    mkdirSync(dir);
    chmodSync(dir, 0o777);
  },
  'trials that are a link': inside('trials.jsonl', link),
  'trials of a stranger': inside('trials.jsonl', foreignFile),
  'trials that have a second name': inside('trials.jsonl', (path, secret) => linkSync(secret, path)),
  'logs that are a link': inside('logs', homeLink),
  'logs of a stranger': inside('logs', foreignFolder),
  'results that are a link': inside('results', homeLink),
  'a lock of a stranger': inside('.lock', foreignFolder),
  'a lock that is a link': inside('.lock', homeLink),
  'a lock that is a file': inside('.lock', (path) => writeFileSync(path, '')),
  'a lock that is a FIFO': inside('.lock', fifo),
  'a lock that all may write to': inside('.lock', (path) => {
    mkdirSync(path);
    chmodSync(path, 0o777);
  }),
  'a heartbeat that is a link': inside('.lock/heartbeat', link),
  'a report that is a link': inside('report.html', link),
  'a best recipe that is a link': inside('best.yaml', link),
};

/** Made no use of, and harmless. */
const HARMLESS: Readonly<Record<string, Planting>> = {
  'work that names a home': inside('.lock/work.jsonl', (path, secret) =>
    writeFileSync(path, `${JSON.stringify({ path: dirname(secret) })}\n`),
  ),
  'work that names a link to a home': inside('.lock/work.jsonl', (path, secret) => {
    const name = join(dirname(secret), '../ckpt-merge-work-0123456789ab');
    symlinkSync(dirname(secret), name);
    writeFileSync(path, `${JSON.stringify({ path: name })}\n{"path":["/"]}\nnull\n`);
  }),
  'work that is a link': inside('.lock/work.jsonl', link),
  'work that is a FIFO': inside('.lock/work.jsonl', fifo),
  'an owner that is a FIFO': inside('.lock/owner.json', fifo),
};

async function search(plant: Planting, options: Parameters<typeof searchWords>[1] = {}) {
  const place = searchPlace();
  chmodSync(place.folder, 0o777);
  const secret = secretIn(place.folder);
  plant(place, secret);
  const before = pictureOf(dirname(secret));
  const { code, stdout, stderr } = await run(...searchWords(place, { trials: 2, ...options }), '--json');
  expect(pictureOf(dirname(secret))).toEqual(before);
  return { place, code, stderr, said: JSON.parse(stdout) as { code?: string; message?: string } };
}

describe.skipIf(!canBeAnother())('a search where something was planted', () => {
  it.each(Object.keys(REFUSED))(
    '%s: is refused, and nothing outside is touched',
    async (name) => {
      const { place, said } = await search(REFUSED[name]!);
      process.stdout.write(`${name}: ${said.code} ${said.message}\n`);
      expect(said.code).toMatch(/^E_(OTHER_USER|OUTPUT_KIND|TRIALS|SEARCH_STATE)$/);
      expect(said.message).toContain(place.dir);
      expect(existsSync(place.out)).toBe(false);
    },
    CAMPAIGN_MS,
  );

  it.each(Object.keys(HARMLESS))(
    '%s: is done, and nothing outside is touched',
    async (name) => {
      const { place, code, said } = await search(HARMLESS[name]!);
      expect(said.code).toBeUndefined();
      expect(code).toBe(0);
      expect(trialsOf(place).length).toBeGreaterThan(0);
      expect(existsSync(place.out)).toBe(true);
    },
    CAMPAIGN_MS,
  );

  it(
    'after it began: no log is written through a link',
    async () => {
      const sticky: Planting = ({ dir }) => {
        mkdirSync(dir);
        chmodSync(dir, 0o1777);
      };
      const place = searchPlace();
      const secret = secretIn(place.folder);
      sticky(place, secret);
      const before = pictureOf(dirname(secret));
      const setup = `ln -s ${dirname(secret)} ${join(place.dir, 'logs')}; ln -s ${dirname(secret)} ${join(place.dir, 'results')}`;
      const { code } = await run(...searchWords(place, { trials: 2, options: ['--eval-setup', setup] }), '--json');
      expect(pictureOf(dirname(secret))).toEqual(before);
      expect(code).not.toBe(0);
    },
    CAMPAIGN_MS,
  );
});

describe('where merges wait for their score', () => {
  it(
    'nobody else may look',
    async () => {
      const place = searchPlace();
      const modes = join(place.folder, 'modes');
      // The newest checkpoint is scored where it lies.
      const command = `case "$MERGE_MODEL" in *ckpt-merge-work-*) stat -c %a "\${MERGE_MODEL%/*}" >> ${modes};; esac; ${FAST_SCORE}`;
      const { code } = await run(...searchWords(place, { trials: 2, work: false, eval: command }), '--json');
      expect(code).toBe(0);
      const seen = new Set(readFileSync(modes, 'utf8').trim().split('\n'));
      process.stdout.write(`modes of work folders: ${[...seen]}\n`);
      expect([...seen].filter((mode) => mode !== '700')).toEqual([]);
      expect(readdirSync(place.dir).filter((name) => name.startsWith('ckpt-merge-work'))).toEqual([]);
    },
    CAMPAIGN_MS,
  );
});
