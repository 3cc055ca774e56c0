/** The page has uPlot as a global where it has line charts. */
declare const uPlot: typeof import('uplot');
