/**
 * What the PMA paper (arXiv 2505.12082) showed of merged weights as a start (section 4.4, appendix B, table
 * 1), and what it did not.
 */
export const MERGED_START_FACTS: readonly string[] = [
  'Continued training from merged weights ended level with training from the newest checkpoint in the PMA paper (0.7B/7B MoE): parity, not a gain.',
  'The learning rate needed no retuning there.',
  'One fine-tuning (15B/150B MoE) gained from merged weights; the authors could not repeat gains of that size at other sizes.',
  'The paper does not say what became of the optimizer state.',
];
