// What a report's page can do beyond being read: the value under the pointer in heat maps, and line charts that can be zoomed. Inlined into the page as it is, and
// everything it needs stands in the page's tables. Names can be anything: they become text, never markup.
(() => {
  /** Distances of ticks on an axis of layers or steps. */
  const WHOLE_STEPS = Array.from({ length: 12 }, (_, power) => [1, 2, 5].map((factor) => factor * 10 ** power)).flat();
  const root = document.documentElement;
  root.classList.add('scripted');
  for (const figure of document.querySelectorAll('figure.heat')) showValues(/** @type {HTMLElement} */ (figure));
  const charts = [...document.querySelectorAll('figure.line')].map((figure) => zoomable(/** @type {HTMLElement} */ (figure)));
  // Colours are painted, so another colour scheme has to be painted anew.
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    for (const draw of charts) draw();
  });

  /** @param {HTMLElement} figure */
  function showValues(figure) {
    const svg = /** @type {SVGSVGElement} */ (figure.querySelector('svg'));
    const table = /** @type {HTMLTableElement} */ (figure.querySelector('table'));
    const { left, top, cellWidth, cellHeight } = svg.dataset;
    const heads = table.tHead?.rows[0]?.cells;
    const rows = table.tBodies[0]?.rows;
    if (heads === undefined || rows === undefined) return;
    const [rowAxis, columnAxis] = (heads[0]?.textContent ?? '').split(' \\ ');
    const tip = document.body.appendChild(document.createElement('div'));
    tip.className = 'tip';
    tip.hidden = true;
    const frame = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
    frame.setAttribute('class', 'hovered');
    frame.setAttribute('width', String(cellWidth));
    frame.setAttribute('height', String(cellHeight));

    const leave = () => {
      tip.hidden = true;
      frame.remove();
    };
    svg.addEventListener('pointerleave', leave);
    svg.addEventListener('pointermove', (event) => {
      const matrix = svg.getScreenCTM();
      if (matrix === null) return;
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
      const column = Math.floor((at.x - Number(left)) / Number(cellWidth));
      const row = Math.floor((at.y - Number(top)) / Number(cellHeight));
      const cells = row < 0 ? undefined : rows[row]?.cells;
      const cell = column < 0 ? undefined : cells?.[column + 1];
      // The last cell of a row has the row's line break, too.
      const text = cell?.textContent?.trim() ?? '';
      if (cells === undefined || cell === undefined || text === '') return leave();

      const value = document.createElement('b');
      value.textContent = text;
      const lines = [`${rowAxis} ${cells[0]?.textContent}`, `${columnAxis} ${heads[column + 1]?.textContent}`, cell.dataset.note ?? ''];
      const texts = lines.filter((line) => line !== '').map((line) => Object.assign(document.createElement('span'), { textContent: line }));
      tip.replaceChildren(value, ...texts);
      tip.hidden = false;
      const room = root.clientWidth - tip.offsetWidth - 8;
      tip.style.left = `${Math.max(8, Math.min(room, event.clientX + 14))}px`;
      const below = event.clientY + 18;
      tip.style.top = `${below + tip.offsetHeight > root.clientHeight ? event.clientY - tip.offsetHeight - 10 : below}px`;
      frame.setAttribute('x', String(Number(left) + column * Number(cellWidth)));
      frame.setAttribute('y', String(Number(top) + row * Number(cellHeight)));
      if (!frame.isConnected) svg.append(frame);
    });
  }

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
    const [xLog, yLog] = [svg.dataset.xLog === '1', svg.dataset.yLog === '1'];
    const column = (/** @type {number} */ c) => rows.map((row) => numberOf(row[c], yLog && c > 0));
    const data = heads.map((_, c) => column(c));
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
      const series = heads.slice(1).map((head, i) => ({
        label: head.textContent ?? '',
        stroke: colour(`--c${i % 6}`),
        width: 1.75,
        points: { show: rows.length <= 200, size: 6, fill: colour(`--c${i % 6}`) },
        .../** @type {any} */ (head.dataset.joined === '0' ? { paths: () => null } : {}),
        value: (/** @type {any} */ _plot, /** @type {any} */ _value, /** @type {number} */ s, /** @type {number | null} */ at) =>
          (at === null ? '' : rows[at]?.[s]?.textContent?.trim()) || '–',
      }));
      plot = new uPlot(
        {
          width: holder.clientWidth,
          height: 330,
          scales: { x: { time: false, distr: xLog ? 3 : 1 }, y: { distr: yLog ? 3 : 1 } },
          axes: [
            { ...axis, label: axisLabels[1] ?? '', ...(whole ? { incrs: WHOLE_STEPS } : {}) },
            { ...axis, label: axisLabels[0] ?? '', size: 64 },
          ],
          series: [
            {
              label: heads[0]?.textContent ?? '',
              value: (_plot, _value, _s, at) => (at == null ? '–' : (rows[at]?.[0]?.textContent?.trim() ?? '–')),
            },
            ...series,
          ],
          legend: { markers: { fill: (_plot, s) => series[s - 1]?.stroke ?? 'transparent' } },
          hooks: { draw: [errorBars] },
        },
        /** @type {any} */ (data),
        holder,
      );
      plot.root.setAttribute('role', 'img');
      plot.root.setAttribute('aria-label', svg.getAttribute('aria-label') ?? '');
    };

    /** @param {import('uplot')} chart */
    const errorBars = (chart) => {
      const { ctx } = chart;
      ctx.save();
      ctx.beginPath();
      ctx.rect(chart.bbox.left, chart.bbox.top, chart.bbox.width, chart.bbox.height);
      ctx.clip();
      for (let s = 1; s < heads.length; s++) {
        ctx.strokeStyle = String(getComputedStyle(root).getPropertyValue(`--c${(s - 1) % 6}`));
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
      ctx.restore();
    };

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
   * Undefined where a series has no point, null where its value cannot be drawn: lines go on over the one and break at the other.
   * @param {HTMLTableCellElement | undefined} cell
   * @param {boolean} log
   */
  function numberOf(cell, log) {
    if (cell?.dataset.v === undefined) return undefined;
    const value = Number(cell.dataset.v);
    return Number.isFinite(value) && !(log && value <= 0) ? value : null;
  }
})();
