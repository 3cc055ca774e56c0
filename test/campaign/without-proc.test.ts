import { afterAll, describe, expect, it } from 'vitest';
import { FOREIGN, leftOf, partialName, pictureOf, secretIn } from '../support/attacker.ts';
import { CAMPAIGN_MS } from '../support/campaign.ts';
import { checkpoints, contentOf, hiddenBeside, removeCheckpoints, run, start } from '../support/faults-merge.ts';

afterAll(removeCheckpoints);

describe('where the system has no links to descriptors', () => {
  it.skipIf(process.getuid?.() !== 0)(
    'a merge is made, replaced and gone on with, and what others planted is left alone',
    async () => {
      const { folder, inputs, out } = checkpoints();
      const words = ['average', ...inputs, '-o', out, '--json'];
      const here = async (...more: string[]) => JSON.parse((await start([...words, ...more], { withoutProc: true }).ended).stdout);
      expect((await here()).code).toBeUndefined();
      const wanted = contentOf(out);
      expect((await here('--force')).code).toBeUndefined();
      expect(contentOf(out)).toEqual(wanted);
      expect(hiddenBeside(out)).toEqual([]);

      const other = checkpoints();
      const left = await leftOf(['average', ...other.inputs, '-o', other.out], other.out, `${folder}/left`);
      const secret = secretIn(folder);
      const foreign = Object.values(FOREIGN).map((plant) => {
        const path = partialName(other.out);
        plant(path, { left, out: other.out, secret });
        return path;
      });
      const picture = () => [pictureOf(folder), ...foreign.map(pictureOf)];
      await start(['average', ...other.inputs, '-o', other.out], { withoutProc: true, callMs: 20, kill: { call: 4, ms: 0 } }).ended;
      const before = picture();
      const resumed = await start(['average', ...other.inputs, '-o', other.out, '--json', '--resume'], { withoutProc: true }).ended;
      expect(JSON.parse(resumed.stdout).resumedBytes).toBeGreaterThan(0);
      expect(picture()).toEqual(before);
      expect((await run('verify', other.out, '--full')).code).toBe(0);
    },
    CAMPAIGN_MS,
  );
});
