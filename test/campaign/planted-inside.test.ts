import { renameSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { INSIDE, leftOf, markReleased, partialName, pictureOf, secretIn } from '../support/attacker.ts';
import { CAMPAIGN_MS } from '../support/campaign.ts';
import { checkpoints, contentOf, removeCheckpoints, run } from '../support/faults-merge.ts';

afterAll(removeCheckpoints);

describe('--resume of a partial of our own in which things are not what they were', () => {
  it.each(Object.keys(INSIDE))(
    '%s: follows no link, waits for nothing, and believes no byte',
    async (name) => {
      const whole = checkpoints();
      expect((await run('average', ...whole.inputs, '-o', whole.out)).code).toBe(0);
      const { folder, inputs, out } = checkpoints();
      const words = ['average', ...inputs, '-o', out, '--json'];
      const left = await leftOf(words, out, join(folder, 'aside', 'left'));
      markReleased(left);
      const secret = secretIn(folder);
      INSIDE[name]!(partialName(out), { left, out, secret });
      const outside = () => ({ ...pictureOf(dirname(secret)), ...pictureOf(left) });
      const was = outside();
      const said = JSON.parse((await run(...words, '--resume')).stdout);
      if (said.code !== undefined) {
        expect(said.code).toMatch(/^E_(RESUME|BUSY|OUTPUT_KIND)$/);
        process.stdout.write(`${name}: ${said.code} ${said.message}\n`);
        const again = JSON.parse((await run(...words)).stdout);
        expect(again.code).toBeUndefined();
      } else process.stdout.write(`${name}: resumed ${said.resumedBytes} bytes\n`);
      expect(contentOf(out)).toEqual(contentOf(whole.out));
      expect(outside()).toEqual(was);
    },
    CAMPAIGN_MS,
  );

  it('a whole partial of our own under a name of its own is gone on with', async () => {
    const { folder, inputs, out } = checkpoints();
    const words = ['average', ...inputs, '-o', out, '--json'];
    renameSync(await leftOf(words, out, join(folder, 'left')), partialName(out));
    expect(JSON.parse((await run(...words, '--resume')).stdout).resumedBytes).toBeGreaterThan(0);
  });
});
