// What lies under the pointer in a report's heat maps and line charts. Inlined into the page as it is, and
// everything it needs stands in the page's tables. Names can be anything: they become text, never markup.
(() => {
  const root = document.documentElement;
  /** By how many pixels a point is nearer than those of a curve, which are dense. */
  const REACH = 8;
  for (const figure of document.querySelectorAll('figure.heat')) showCells(/** @type {HTMLElement} */ (figure));
  for (const figure of document.querySelectorAll('figure.line')) showPlaces(/** @type {HTMLElement} */ (figure));
  for (const time of document.querySelectorAll('.live time')) showAge(/** @type {HTMLTimeElement} */ (time));

  /**
   * Says of a page that was to be written anew long ago that its work has probably ended.
   * @param {HTMLTimeElement} time when it was written
   */
  function showAge(time) {
    const within = Number(time.dataset.within ?? '');
    const age = (Date.now() - Date.parse(time.dateTime)) / 1000;
    // Clocks of two machines differ, and a busy one is late.
    if (!(within > 0) || age < 3 * within + 60) return;
    const banner = /** @type {HTMLElement} */ (time.closest('.live'));
    const minutes = Math.round(age / 60);
    const words =
      minutes < 120 ? `${minutes} minutes` : minutes < 2880 ? `${Math.round(minutes / 60)} hours` : `${Math.round(minutes / 1440)} days`;
    banner.append(line('strong', `By the clock here that was ${words} ago: what wrote this page was ended, or stands still.`));
  }

  /**
   * Shows lines of text beside the pointer, and a shape in the drawing, as long as there is something under
   * it.
   * @param {HTMLElement} figure
   * @param {string} shape element of the drawing that marks the place
   * @param {(x: number, y: number) => { lines: HTMLElement[], place: Record<string, string | number> } |
   *   null} find by a place in the drawing
   */
  function follow(figure, shape, find) {
    for (const svg of figure.querySelectorAll('svg')) followIn(svg, shape, find);
  }

  /**
   * @param {SVGSVGElement} svg
   * @param {string} shape
   * @param {(x: number, y: number) => { lines: HTMLElement[], place: Record<string, string | number> } | null} find
   */
  function followIn(svg, shape, find) {
    const tip = document.body.appendChild(document.createElement('div'));
    tip.className = 'tip';
    tip.hidden = true;
    const mark = document.createElementNS('http://www.w3.org/2000/svg', shape);
    mark.setAttribute('class', 'hovered');
    const leave = () => {
      tip.hidden = true;
      mark.remove();
    };
    svg.addEventListener('pointerleave', leave);
    svg.addEventListener('pointermove', (event) => {
      const matrix = svg.getScreenCTM();
      if (matrix === null) return;
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
      const found = find(at.x, at.y);
      if (found === null) return leave();
      tip.replaceChildren(...found.lines);
      tip.hidden = false;
      const room = root.clientWidth - tip.offsetWidth - 8;
      tip.style.left = `${Math.max(8, Math.min(room, event.clientX + 14))}px`;
      const below = event.clientY + 18;
      tip.style.top = `${below + tip.offsetHeight > root.clientHeight ? event.clientY - tip.offsetHeight - 10 : below}px`;
      for (const [name, value] of Object.entries(found.place)) mark.setAttribute(name, String(value));
      if (!mark.isConnected) svg.append(mark);
    });
  }

  /** @param {HTMLElement} figure */
  function showCells(figure) {
    const { heads, rows } = tableOf(figure);
    const { left, top, cellWidth, cellHeight } = numbersOf(figure);
    const [rowAxis, columnAxis] = textOf(heads[0]).split(' \\ ');
    follow(figure, 'rect', (x, y) => {
      const column = Math.floor((x - left) / cellWidth);
      const row = Math.floor((y - top) / cellHeight);
      const cells = rows[row];
      const cell = column < 0 ? undefined : cells?.[column + 1];
      if (textOf(cell) === '') return null;
      const words = [`${rowAxis} ${textOf(cells?.[0])}`, `${columnAxis} ${textOf(heads[column + 1])}`, cell?.dataset.note ?? ''];
      const place = { x: left + column * cellWidth, y: top + row * cellHeight, width: cellWidth, height: cellHeight };
      return { lines: [line('b', textOf(cell)), ...words.filter((text) => text !== '').map((text) => line('span', text))], place };
    });
  }

  /**
   * The values of the nearest place that has any, of a curve those of its nearest point, and all levels.
   * @param {HTMLElement} figure
   */
  function showPlaces(figure) {
    const { heads, rows, levels } = tableOf(figure);
    const { left, right, top, bottom } = numbersOf(figure);
    const places = rows.map((cells) => {
      const shown = heads.some((head, i) => i > 0 && head.dataset.draw !== 'curve' && textOf(cells[i]) !== '');
      return { cells, x: Number(cells[0]?.dataset.x), reach: shown ? REACH : 0 };
    });
    const nearest = (/** @type {number} */ x, /** @type {number | null} */ column) => {
      const candidates = places.filter(({ cells }) => column === null || textOf(cells[column]) !== '');
      const far = (/** @type {typeof places[number]} */ place) => Math.abs(place.x - x) - (column === null ? place.reach : 0);
      return candidates.reduce((/** @type {typeof places[number] | null} */ a, b) => (a !== null && far(a) <= far(b) ? a : b), null);
    };
    follow(figure, 'path', (x, y) => {
      const row = x < left - REACH || x > right + REACH || y < top || y > bottom ? null : nearest(x, null);
      if (row === null) return null;
      const values = heads.slice(1).map((head, i) => {
        const cells = head.dataset.draw === 'curve' ? nearest(row.x, i + 1)?.cells : row.cells;
        return { name: textOf(head), value: textOf(cells?.[i + 1]), colour: head.dataset.colour };
      });
      const across = levels.map(([head, cell]) => ({ name: textOf(head), value: textOf(cell), colour: head?.dataset.colour }));
      const lines = [...values, ...across]
        .filter(({ value }) => value !== '')
        .map(({ name, value, colour }) => {
          const key = Object.assign(document.createElement('i'), { className: `key c${colour}` });
          const shown = line('span', `${name} `);
          shown.prepend(key);
          shown.append(line('b', value));
          return shown;
        });
      return { lines: [line('b', `${textOf(heads[0])} ${textOf(row.cells[0])}`), ...lines], place: { d: `M${row.x} ${top}V${bottom}` } };
    });
  }

  /** @param {HTMLElement} figure */
  function tableOf(figure) {
    const table = /** @type {HTMLTableElement} */ (figure.querySelector('table'));
    const cellsOf = (/** @type {HTMLTableSectionElement | null | undefined} */ part) =>
      [...(part?.rows ?? [])].map((row) => [...row.cells]);
    return { heads: cellsOf(table.tHead)[0] ?? [], rows: cellsOf(table.tBodies[0]), levels: cellsOf(table.tFoot) };
  }

  /**
   * What a drawing says of its geometry.
   * @param {HTMLElement} figure
   * @returns {Record<string, number> & Record<'left' | 'right' | 'top' | 'bottom' | 'cellWidth' |
   *   'cellHeight', number>}
   */
  function numbersOf(figure) {
    const { dataset } = /** @type {SVGSVGElement} */ (figure.querySelector('svg'));
    return /** @type {any} */ (Object.fromEntries(Object.entries(dataset).map(([name, value]) => [name, Number(value)])));
  }

  /**
   * The last cell of a row has the row's line break, too.
   * @param {HTMLElement | undefined} cell
   */
  function textOf(cell) {
    return cell?.textContent?.trim() ?? '';
  }

  /**
   * @param {string} kind
   * @param {string} text
   */
  function line(kind, text) {
    return Object.assign(document.createElement(kind), { textContent: text });
  }
})();
