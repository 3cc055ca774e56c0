import { describe, expect, it } from 'vitest';
import { html, trusted } from '../../../src/render/html/markup.ts';
import { formatEstimate, formatNumber, formatTick, shorten } from '../../../src/render/numbers.ts';

describe('html', () => {
  it('escapes texts and numbers wherever they stand', () => {
    expect(html`<p title="${'"\'&'}">${'<b>'}${-1}</p>`.text).toBe('<p title="&quot;&#39;&amp;">&lt;b&gt;-1</p>');
  });

  it('leaves markup as it is, joins lists, and has nothing for null, undefined and false', () => {
    const items = ['<', html`<i>${'>'}</i>`, [trusted('<hr>'), null]];
    expect(html`${items}${undefined}${false}|`.text).toBe('&lt;<i>&gt;</i><hr>|');
  });

  it('shows what would turn or hide the text after it', () => {
    expect(html`${'a\u202eb\u0000c\u2028'}`.text).toBe('a\\u202eb\\x00c\\u2028');
  });
});

describe('numbers', () => {
  it.each([
    [0, '0'],
    [-0, '0'],
    [12, '12'],
    [12_345, '12345'],
    [123_456, '1.23e5'],
    [0.012345, '0.0123'],
    [0.00012345, '1.23e-4'],
    [0.9999, '1.00'],
    [-1234.6, '-1235'],
    [Number.NaN, 'NaN'],
    [Number.POSITIVE_INFINITY, '∞'],
    [Number.NEGATIVE_INFINITY, '-∞'],
    [null, '–'],
  ])('%s is %s', (value, text) => {
    expect(formatNumber(value)).toBe(text);
  });
});

it.each([
  [1.18041, 0.00512, '1.1804 ± 0.0051'],
  [0.94, 0, '0.940000 ± 0'],
  [1234.5, 21.4, '1235 ± 21'],
  [123_456, 1234, '1.23456e5 ± 1234'],
  [Number.NaN, 0.1, 'NaN ± 0.10'],
  [0.5, null, '0.5000'],
])('%f with error %f is %s', (value, error, text) => {
  expect(formatEstimate(value, error)).toBe(text);
});

it('ticks have all their digits', () => {
  expect([0, 0.05, 1.18, 5000, 20_000, 1e-6, 2e9].map(formatTick)).toEqual(['0', '0.05', '1.18', '5000', '20,000', '1e-6', '2e9']);
});

it('shortens in the middle, and keeps more of the end', () => {
  expect(shorten('abcdefghij', 10)).toBe('abcdefghij');
  expect(shorten('abcdefghijk', 8)).toBe('ab…ghijk');
  for (let most = 3; most < 11; most++) expect(shorten('abcdefghijk', most)).toHaveLength(most);
});
