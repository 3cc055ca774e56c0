// Line charts of a report that can be zoomed, drawn by uPlot from the page's tables. Inlined into pages that
// have such charts. Names can be anything: they become text, never markup.
(() => {
  /** Distances of ticks on an axis of layers or steps. */
  const WHOLE_STEPS = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((factor) => factor * 10 ** power)).flat();
  const root = document.documentElement;
  root.classList.add('scripted');
  const charts = [...document.querySelectorAll('figure.line')].map((figure) => zoomable(/** @type {HTMLElement} */ (figure)));
  // Colours are painted, so another colour scheme has to be painted anew.
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    for (const draw of charts) draw();
  });

  /**
   * Puts a chart that can be zoomed in the place of the drawing; returns what paints it again.
   * @param {HTMLElement} figure
   */
  function zoomable(figure) {
    const { uPlot } = /** @type {Window & { uPlot: typeof import('uplot') }} */ (/** @type {unknown} */ (window));
    const svg = /** @type {SVGSVGElement} */ (figure.querySelector('svg'));
    const table = /** @type {HTMLTableElement} */ (figure.querySelector('table'));
    const holder = /** @type {HTMLElement} */ (svg.parentElement).appendChild(document.createElement('div'));
    holder.className = 'plot';
    const heads = [...(table.tHead?.rows[0]?.cells ?? [])];
    const rows = [...(table.tBodies[0]?.rows ?? [])].map((row) => [...row.cells]);
    const levels = [...(table.tFoot?.rows ?? [])].map((row) => [...row.cells]);
    const [xLog, yLog] = [svg.dataset.xLog === '1', svg.dataset.yLog === '1'];
    const column = (/** @type {number} */ c) => rows.map((row) => numberOf(row[c], yLog && c > 0));
    // Levels stand behind the columns, the same for every row.
    const data = [...heads.map((_, c) => column(c)), ...levels.map(([head]) => rows.map(() => numberOf(head, yLog)))];
    const whole = !xLog && data[0]?.every((x) => Number.isInteger(x));
    const axisLabels = [...svg.querySelectorAll('text.axis')].map((text) => text.textContent ?? '');
    const hint = document.createElement('p');
    hint.className = 'hint';
    hint.textContent = 'Drag across the chart to zoom, double-click to see all of it.';

    /** @type {import('uplot') | undefined} */
    let plot;
    const draw = () => {
      plot?.destroy();
      const style = getComputedStyle(root);
      const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
      const font = `12px ${getComputedStyle(document.body).fontFamily}`;
      const axis = {
        stroke: colour('--muted'),
        font,
        labelFont: font,
        labelSize: 22,
        grid: { stroke: colour('--rule'), width: 1 },
        ticks: { stroke: colour('--rule'), width: 1 },
      };
      const series = heads.slice(1).map((head) => ({
        label: head.textContent ?? '',
        stroke: colour(`--c${head.dataset.colour}`),
        width: 1.75,
        points: { show: head.dataset.dots === '1', size: 6, fill: colour(`--c${head.dataset.colour}`) },
        ...pathsOf(head.dataset.draw),
        value: (/** @type {any} */ _plot, /** @type {any} */ _value, /** @type {number} */ s, /** @type {number | null} */ at) =>
          (at === null ? '' : rows[at]?.[s]?.textContent?.trim()) || '–',
      }));
      const across = levels.map(([head, cell]) => ({
        label: head?.textContent ?? '',
        stroke: colour(`--c${head?.dataset.colour}`),
        points: { show: false },
        paths: () => null,
        value: () => cell?.textContent?.trim() ?? '–',
      }));
      plot = new uPlot(
        {
          width: holder.clientWidth,
          height: 330,
          scales: {
            x: xLog ? { time: false, distr: 3 } : { time: false, range: withRoom },
            y: yLog ? { distr: 3 } : { range: withErrors },
          },
          axes: [
            { ...axis, label: axisLabels[1] ?? '', ...(whole ? { incrs: WHOLE_STEPS } : {}), ...(xLog ? {} : { values: tickTexts }) },
            { ...axis, label: axisLabels[0] ?? '', size: 64, ...(yLog ? {} : { values: tickTexts }) },
          ],
          series: [
            {
              label: heads[0]?.textContent ?? '',
              value: (_plot, _value, _s, at) => (at == null ? '–' : (rows[at]?.[0]?.textContent?.trim() ?? '–')),
            },
            ...series,
            ...across,
          ],
          cursor: { dataIdx: rowOf },
          legend: { markers: { fill: (_plot, s) => [...series, ...across][s - 1]?.stroke ?? 'transparent' } },
          hooks: { drawAxes: [bands, levelLines], draw: [errorBars, crosses, arrows] },
        },
        /** @type {any} */ (data),
        holder,
      );
      plot.root.setAttribute('role', 'img');
      plot.root.setAttribute('aria-label', svg.getAttribute('aria-label') ?? '');
    };

    /**
     * All digits of ticks that are so far apart; uPlot itself stops at three decimals.
     * @param {import('uplot')} _chart
     * @param {number[]} ticks
     * @param {number} _axis
     * @param {number} _space
     * @param {number} apart
     */
    const tickTexts = (_chart, ticks, _axis, _space, apart) => {
      const digits = Number(apart.toPrecision(6)).toFixed(12).replace(/0+$/, '').split('.')[1]?.length ?? 0;
      return ticks.map((tick) => tick.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits }));
    };

    /**
     * Of the x axis seen whole: points at its ends are seen whole, too.
     * @param {import('uplot')} _chart
     * @param {number} min
     * @param {number} max
     * @returns {[number, number]}
     */
    const withRoom = (_chart, min, max) => {
      const [first, last] = [Number(data[0]?.[0]), Number(data[0]?.at(-1))];
      // Of one place uPlot would make a hundred.
      if (first === last) return [first - 1, first + 1];
      if (min > first || max < last) return [min, max];
      const room = (max - min) / 60;
      return [min - room, max + room];
    };

    /**
     * Of which row a series shows its value: what is under the pointer and of nothing beside it, but of a
     * curve the nearest of its points.
     * @param {import('uplot')} _chart
     * @param {number} s
     * @param {number} at
     */
    const rowOf = (_chart, s, at) => {
      if (heads[s]?.dataset.draw !== 'curve') return at;
      for (let away = 0; away < rows.length; away++) {
        if (data[s]?.[at - away] != null) return at - away;
        if (data[s]?.[at + away] != null) return at + away;
      }
      return at;
    };

    const pathsOf = (/** @type {string | undefined} */ kind) => {
      if (kind === 'points' || kind === 'absent') return { paths: () => null };
      const stepped = uPlot.paths.stepped?.({ align: 1 });
      return kind === 'steps' && stepped !== undefined ? { paths: stepped } : {};
    };

    /**
     * Of the y axis, so that bars of errors and bands are seen whole; by what the x axis shows.
     * @param {import('uplot')} chart
     * @param {number} low
     * @param {number} high
     * @returns {[number, number]}
     */
    const withErrors = (chart, low, high) => {
      const { min = -Infinity, max = Infinity } = chart.scales.x ?? {};
      // Seen whole, a chart may span less than its values.
      const { yFrom, yTo } = svg.dataset;
      const zoomed = (min ?? -Infinity) > Number(data[0]?.[0]) || (max ?? Infinity) < Number(data[0]?.at(-1));
      if (yFrom !== undefined && yTo !== undefined && !zoomed) return [Number(yFrom), Number(yTo)];
      for (const [i, row] of rows.entries()) {
        const x = data[0]?.[i];
        if (x == null || x < (min ?? -Infinity) || x > (max ?? Infinity)) continue;
        for (const [s, cell] of row.entries()) {
          if (s === 0 || chart.series[s]?.show === false) continue;
          const [y, error] = [Number(cell.dataset.v), Number(cell.dataset.e ?? 0)];
          const ends = [y - error, y + error, Number(cell.dataset.low), Number(cell.dataset.high)].filter(Number.isFinite);
          low = Math.min(low ?? Infinity, ...ends);
          high = Math.max(high ?? -Infinity, ...ends);
        }
      }
      const [from, to] = low === high ? [low - Math.abs(low) / 10, high + Math.abs(high) / 10] : uPlot.rangeNum(low, high, 0.1, true);
      return [from ?? low, to ?? high];
    };

    /**
     * Paints inside the plot, as with a pen of its own.
     * @param {import('uplot')} chart
     * @param {(ctx: CanvasRenderingContext2D) => void} paint
     */
    const inside = (chart, paint) => {
      const { ctx } = chart;
      ctx.save();
      ctx.beginPath();
      ctx.rect(chart.bbox.left, chart.bbox.top, chart.bbox.width, chart.bbox.height);
      ctx.clip();
      paint(ctx);
      ctx.restore();
    };

    const paletteColour = (/** @type {HTMLElement | undefined} */ cell) =>
      getComputedStyle(root).getPropertyValue(`--c${cell?.dataset.colour}`).trim();

    /** @param {import('uplot')} chart */
    const errorBars = (chart) =>
      inside(chart, (ctx) => {
        for (let s = 1; s < heads.length; s++) {
          if (chart.series[s]?.show === false) continue;
          ctx.strokeStyle = paletteColour(heads[s]);
          ctx.lineWidth = devicePixelRatio;
          ctx.beginPath();
          rows.forEach((row, i) => {
            const [y, error] = [data[s]?.[i], Number(row[s]?.dataset.e)];
            const x = data[0]?.[i];
            if (y == null || x == null || !Number.isFinite(error)) return;
            const left = chart.valToPos(x, 'x', true);
            const high = chart.valToPos(y + error, 'y', true);
            const low = yLog && y - error <= 0 ? chart.bbox.top + chart.bbox.height : chart.valToPos(y - error, 'y', true);
            ctx.moveTo(left, high);
            ctx.lineTo(left, low);
          });
          ctx.stroke();
        }
      });

    /** @param {import('uplot')} chart */
    const bands = (chart) =>
      inside(chart, (ctx) => {
        for (let s = 1; s < heads.length; s++) {
          if (chart.series[s]?.show === false) continue;
          const banded = rows.flatMap((row, i) => {
            const { low, high } = row[s]?.dataset ?? {};
            const x = data[0]?.[i];
            return low === undefined || x == null ? [] : [{ x, low: Number(low), high: Number(high) }];
          });
          ctx.fillStyle = paletteColour(heads[s]);
          ctx.globalAlpha = 0.16;
          ctx.beginPath();
          for (const { x, high } of banded) ctx.lineTo(chart.valToPos(x, 'x', true), chart.valToPos(high, 'y', true));
          for (const { x, low } of banded.reverse()) ctx.lineTo(chart.valToPos(x, 'x', true), chart.valToPos(low, 'y', true));
          ctx.fill();
        }
      });

    /** @param {import('uplot')} chart */
    const levelLines = (chart) =>
      inside(chart, (ctx) => {
        ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
        ctx.lineWidth = 1.75 * devicePixelRatio;
        for (const [i, [head]] of levels.entries()) {
          const y = numberOf(head, yLog);
          if (y == null || chart.series[heads.length + i]?.show === false) continue;
          const top = chart.valToPos(y, 'y', true);
          ctx.strokeStyle = paletteColour(head);
          ctx.beginPath();
          ctx.moveTo(chart.bbox.left, top);
          ctx.lineTo(chart.bbox.left + chart.bbox.width, top);
          ctx.stroke();
        }
      });

    /** @param {import('uplot')} chart */
    const crosses = (chart) =>
      inside(chart, (ctx) => {
        const s = heads.findIndex((head) => head.dataset.draw === 'absent');
        if (s < 0 || chart.series[s]?.show === false) return;
        const [arm, foot] = [4 * devicePixelRatio, chart.bbox.top + chart.bbox.height - 7 * devicePixelRatio];
        ctx.strokeStyle = paletteColour(heads[s]);
        ctx.lineWidth = 1.75 * devicePixelRatio;
        ctx.beginPath();
        rows.forEach((row, i) => {
          const x = data[0]?.[i];
          if (x == null || row[s]?.dataset.absent === undefined) return;
          const left = chart.valToPos(x, 'x', true);
          ctx.moveTo(left - arm, foot - arm);
          ctx.lineTo(left + arm, foot + arm);
          ctx.moveTo(left - arm, foot + arm);
          ctx.lineTo(left + arm, foot - arm);
        });
        ctx.stroke();
      });

    /**
     * At the edge, for points beyond it.
     * @param {import('uplot')} chart
     */
    const arrows = (chart) =>
      inside(chart, (ctx) => {
        const { min, max } = chart.scales.y ?? {};
        if (min == null || max == null) return;
        const size = 4 * devicePixelRatio;
        for (const [s, head] of heads.entries()) {
          if (head.dataset.dots !== '1' || chart.series[s]?.show === false) continue;
          ctx.fillStyle = paletteColour(head);
          ctx.beginPath();
          rows.forEach((_, i) => {
            const [x, y] = [data[0]?.[i], data[s]?.[i]];
            if (x == null || y == null || (y >= min && y <= max)) return;
            const left = chart.valToPos(x, 'x', true);
            const [edge, down] = y > max ? [chart.bbox.top, 1] : [chart.bbox.top + chart.bbox.height, -1];
            ctx.moveTo(left, edge);
            ctx.lineTo(left + size, edge + 1.75 * size * down);
            ctx.lineTo(left - size, edge + 1.75 * size * down);
          });
          ctx.fill();
        }
      });

    draw();
    holder.after(hint);
    new ResizeObserver(() => {
      if (plot !== undefined && holder.clientWidth > 0 && holder.clientWidth !== plot.width) {
        plot.setSize({ width: holder.clientWidth, height: 330 });
      }
    }).observe(holder);
    return draw;
  }

  /**
   * Undefined where a series has no point, null where its value cannot be drawn: lines go on over the one and
   * break at the other.
   * @param {HTMLTableCellElement | undefined} cell
   * @param {boolean} log
   */
  function numberOf(cell, log) {
    if (cell?.dataset.v === undefined) return undefined;
    const value = Number(cell.dataset.v);
    return Number.isFinite(value) && !(log && value <= 0) ? value : null;
  }
})();
