import { describe, expect, it } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import { policyProblems } from '../../../src/recipe/policy/check.ts';
import { parsePolicy, parseRouterUse } from '../../../src/recipe/policy/parse.ts';
import { policyText } from '../../../src/recipe/policy/text.ts';
import type { Policy } from '../../../src/recipe/policy/types.ts';

describe('a policy in one text', () => {
  const cases: readonly (readonly [text: string, policy: Policy])[] = [
    ['role=router_bias:use=average', { role: 'router_bias', use: 'average' }],
    ['role=router,layers=0-3:use=newest', { role: 'router', layers: '0-3', use: 'newest' }],
    ['name=model.layers.0.*:weights=0.2,0.8', { name: 'model.layers.0.*', weights: [0.2, 0.8] }],
    ['name=a*:weights=-0.5,1.5e0,normalize=true', { name: 'a*', weights: [-0.5, 1.5], normalize: true }],
    [
      'role=experts,experts=0-7:use=average,method=ema,alpha=0.2',
      { role: 'experts', experts: '0-7', use: 'average', method: 'ema', alpha: 0.2 },
    ],
    ['dtype=F32:dtype=f32', { stored: 'F32', dtype: 'F32' }],
    ['stored=F32|BF16:use=equal', { stored: 'F32|BF16', use: 'equal' }],
    ['role=mtp:use=drop', { role: 'mtp', use: 'drop' }],
    ['role=router|norms,layers=-1|0-2:use=12000', { role: 'router|norms', layers: '-1|0-2', use: 12000 }],
    ['layers=1,3-4:use=oldest', { layers: '1,3-4', use: 'oldest' }],
    ['name=x:method=ema,half-life=2B', { name: 'x', method: 'ema', halfLife: '2B' }],
    ['name=x:method=lr-curve,lr-curve=a:b.csv,reverse=true', { name: 'x', method: 'lr-curve', lrCurve: 'a:b.csv', reverse: true }],
    ['name=odd:name,with,commas:use=newest', { name: 'odd:name,with,commas', use: 'newest' }],
    [' role = router , layers = 3 : use = newest , dtype = F32 ', { role: 'router', layers: '3', use: 'newest', dtype: 'F32' }],
  ];

  it.each(cases)('%s', (text, policy) => {
    expect(parsePolicy(text)).toEqual(policy);
  });

  it.each(cases)('%s is the same after being written and read', (_, policy) => {
    expect(parsePolicy(policyText(parsePolicy(policyText(policy))))).toEqual(parsePolicy(policyText(policy)));
    // Text is canonical: what selects the same in a list or a text is written the same.
    expect(policyText(parsePolicy(policyText(policy)))).toBe(policyText(policy));
  });

  it('writes lists and numbers of the library as the command line reads them', () => {
    const policy: Policy = { role: ['router', 'norms'], layers: [0, '2-3', -1], experts: 7, stored: ['F32'], use: 3000, dtype: 'BF16' };
    expect(policyText(policy)).toBe('role=router|norms,layers=0|2-3|-1,experts=7,stored=F32:use=3000,dtype=BF16');
    expect(policyProblems(parsePolicy(policyText(policy)))).toEqual([]);
  });

  it('--router takes what a policy for routers may use', () => {
    expect(['average', 'newest', 'oldest', '4000'].map((text) => parseRouterUse(text, '--router'))).toEqual([
      'average',
      'newest',
      'oldest',
      4000,
    ]);
    for (const text of ['drop', 'equal', 'new', '', 'newest,alpha=1']) expect(() => parseRouterUse(text, '--router')).toThrow(MergeError);
  });
});

describe('what is wrong with a policy', () => {
  it.each([
    ['role=router', 'there is no treatment behind a colon'],
    ['', 'there is no treatment behind a colon'],
    ['role=ruter:use=newest', 'there is no role "ruter"; did you mean router?'],
    ['rolle=router:use=newest', 'there is no rolle before the colon; did you mean role?'],
    ['use=newest:role=router', 'use belongs behind the colon'],
    ['role=router:layers=3', 'layers belongs before the colon'],
    ['role=router:uses=newest', 'there is no uses behind the colon; did you mean use?'],
    ['role=router:use=newst', 'there is no use "newst"; did you mean newest?'],
    ['role=router:use=-1', 'there is no use "-1"'],
    ['role=router,role=norm:use=newest', 'role is given twice'],
    ['x,role=router:use=newest', '"x" is no key=value'],
    [':use=newest', 'a policy must say which tensors it is about'],
    ['layers=3-1:use=newest', 'layers "3-1" is no number, and no range that runs upwards'],
    ['layers=a:use=newest', 'layers "a" is no number'],
    ['layers=:use=newest', 'layers "" is no number'],
    ['experts=-1--3:use=newest', 'experts "-1--3" is no number, and no range that runs upwards'],
    ['stored=BF61:use=newest', 'there is no dtype "BF61"; did you mean BF16?'],
    ['name=:use=newest', "name must be a tensor's name"],
    ['role=scales:use=newest', 'scales cannot be treated apart from the weights that they belong to'],
    ['role=quant_scale:use=newest', 'quant_scale cannot be treated apart'],
    ['name=*:dtype=I32', '"I32" is no dtype to store in'],
    ['name=*:use=drop,dtype=F32', 'dtype has no meaning with use=drop'],
    ['name=*:use=newest,method=ema', 'method has no meaning with use=newest, which averages nothing'],
    ['name=*:use=newest,weights=0.5,0.5', 'weights has no meaning with use=newest'],
    ['name=*:method=emma', 'there is no method "emma"'],
    ['name=*:alpha=0.2', 'alpha has no meaning for method sma'],
    ['name=*:method=ema,alpha=2', 'alpha must be a number over 0 and at most 1, not 2'],
    ['name=*:method=ema,alpha=x', 'alpha must be a number over 0 and at most 1, not "x"'],
    ['name=*:method=ema,weights=1', 'explicit weights and a method cannot be used together'],
    ['name=*:weights=0.2,x', 'weights must be finite numbers, not [0.2,"x"]'],
    ['name=*:weights=', 'weights must be finite numbers'],
    ['name=*:normalize=true', 'normalize is for explicit weights'],
  ])('%s', (text, message) => {
    let error: unknown;
    try {
      parsePolicy(text, '--policy');
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(MergeError);
    const { code, message: said, details, help } = error as MergeError;
    expect(code).toBe('E_OPTION');
    expect(details.conflicts?.map((conflict) => conflict.message).join('\n')).toContain(message);
    expect(said).toContain(`--policy '${text}'`);
    expect(help).not.toBe('');
  });

  it('tells all of it at once', () => {
    expect(() => parsePolicy('role=ruter,layers=x:use=newst,dtype=Q4')).toThrow(
      expect.objectContaining({ details: { conflicts: Array.from({ length: 4 }, () => expect.objectContaining({ code: 'E_OPTION' })) } }),
    );
  });
});
