// The value under the pointer in a report's heat maps. Inlined into the page as it is, and everything it
// needs stands in the page's tables. Names can be anything: they become text, never markup.
(() => {
  const root = document.documentElement;
  for (const figure of document.querySelectorAll('figure.heat')) showValues(/** @type {HTMLElement} */ (figure));

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
})();
