import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { diffPage } from '../../../src/analysis/diff/page.ts';
import { routersPage } from '../../../src/analysis/routers/page.ts';
import { htmlPage } from '../../../src/render/html/page.ts';
import { checkpointLabels } from '../../../src/render/labels.ts';
import { sampleDiff } from '../../browser/sample-diff.ts';
import { sampleRouters } from '../../browser/sample-routers.ts';

const diff = diffPage(sampleDiff({ layers: 4, experts: 4 }));
const routers = routersPage(sampleRouters({ layers: 4, members: 3 }));

describe.each([
  ['without line charts', diff],
  ['with line charts', routers],
])('a page %s', (_, text) => {
  it('allows its own style and scripts by hash, and nothing else', () => {
    const [, policy] = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(text)!;
    const hashes = (tag: string): string[] =>
      [...text.matchAll(new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`, 'g'))].map(
        ([, body]) => `'sha256-${createHash('sha256').update(body!).digest('base64')}'`,
      );
    expect(hashes('script')).toHaveLength(1);
    expect(policy).toBe(
      `default-src 'none'; style-src ${hashes('style').join(' ')}; script-src ${hashes('script').join(' ')}; base-uri 'none'; form-action 'none'`,
    );
  });

  it('names nothing that a browser would fetch, and has no inline style or handler', () => {
    const markup = text.replace(/<(script|style)>[\s\S]*?<\/\1>/g, '');
    expect(markup).not.toMatch(/\s(src|href|srcset|style|on\w+)=/);
    expect(markup).not.toContain('http:');
    expect(markup).not.toContain('url(');
  });
});

it('is the same bytes whenever it is made', () => {
  expect(diffPage(sampleDiff({ layers: 4, experts: 4 }))).toBe(diff);
});

it('escapes title, headline and facts', () => {
  const page = htmlPage({
    title: '<t>',
    summary: { headline: '<h>', tone: 'bad', findings: ['<f>'], facts: [['<n>', '<v>']] },
    sections: [{ title: '<s>', parts: ['<p&>'] }],
  });
  for (const text of ['&lt;t&gt;', '&lt;h&gt;', '&lt;f&gt;', '&lt;n&gt;', '&lt;v&gt;', '&lt;s&gt;', '&lt;p&amp;&gt;'])
    expect(page).toContain(text);
  expect(page).not.toMatch(/<[thfnvs]>/);
});

describe('the page of a diff', () => {
  it('outlines the cells that findings name, and shows infinity where a layer was zero', () => {
    expect(diff.match(/data-note="/g)).toHaveLength(3);
    expect(diff).toContain('>∞</text>');
  });

  it('outlines what is wrong with one checkpoint wherever that is compared', () => {
    const three = diffPage(sampleDiff({ layers: 4, experts: 0, checkpoints: 3 }));
    expect(three.match(/data-note="[^"]*holds 3 NaN/g)).toHaveLength(2);
    expect(three.match(/data-note="expert 3/g)).toHaveLength(1);
  });

  it('is calm where nothing stands out', () => {
    const calm = diffPage({ ...sampleDiff({ layers: 2, experts: 0 }), findings: [], verdict: 'Close to each other.' });
    expect(calm).toContain('<div class="verdict good"><p>Close to each other.</p>');
    expect(calm).not.toContain('By layer and expert');
  });

  it('draws the experts of the four pairs that are furthest apart, and says so at the others', () => {
    const many = diffPage(sampleDiff({ layers: 2, experts: 3, checkpoints: 7 }));
    expect(many.match(/<figcaption>By layer and expert/g)).toHaveLength(4);
    expect(many.match(/Experts are drawn for the 4 pairs/g)).toHaveLength(2);
  });
});

describe('the page on routers', () => {
  it('says what is synthetic, and has no load then', () => {
    const synthetic = routersPage(sampleRouters({ layers: 3, members: 2, synthetic: true }));
    expect(synthetic).toContain('random vectors a layer, seed 1, not hidden states of a model');
    expect(synthetic).not.toContain('Load of the fullest expert');
    expect(routers).toContain('Load of the fullest expert');
  });

  it('says what was not tested where nothing was', () => {
    const sample = sampleRouters({ layers: 2, members: 2 });
    const bare = {
      ...sample,
      family: null,
      routing: null,
      inputs: null,
      evaluation: null,
      layers: sample.layers.map((layer) => ({ ...layer, choice: null })),
    };
    const text = routersPage(bare);
    expect(text).toContain('not known: the choice of experts was not tested');
    expect(text).toMatch(/Would tokens go to the same experts\?<\/h2>\s*<p>Not tested\.<\/p>/);
    expect(text).not.toContain('Does the choice of router matter?');
  });

  it('holds routers that are not finite, layers without measures, and a single checkpoint', () => {
    const sample = sampleRouters({ layers: 2, members: 2 });
    const nothing = { relative: null, cosine: null, worst: { expert: 0, relative: null }, correctionBias: null };
    const identity = [{ status: 'same', moved: [], by: null, ties: [[0, 1]], margin: { router: null, weights: null } }] as const;
    const broken = routersPage({ ...sample, layers: sample.layers.map((layer) => ({ ...layer, drift: [nothing], identity })) });
    expect(broken).toContain('>NaN</text>');
    expect(broken).not.toContain('How surely experts are themselves');
    const single = sampleRouters({ layers: 2, members: 1 });
    expect(routersPage(single)).not.toMatch(/="[^"]*(NaN|Infinity)[^"]*"(?=[^>]*\/>)/);
  });
});

describe('names of checkpoints', () => {
  const at = (path: string, step: number | null) => ({ path, step });
  it.each([
    [
      [at('a/x', 5000), at('b/x', 5200)],
      ['step 5000', 'step 5200'],
    ],
    [
      [at('run/x', null), at('run/y', 5200)],
      ['x', 'y'],
    ],
    [
      [at('a/x', 1), at('b/x', 1)],
      ['a/x', 'b/x'],
    ],
  ])('%j are %j', (checkpoints, labels) => {
    expect(checkpointLabels(checkpoints)).toEqual(labels);
  });
});
