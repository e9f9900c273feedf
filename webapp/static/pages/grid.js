// The grid: exact rows, one tab stop, and arrows that move by where pictures stand.

const WIDEST = 3.0, FULL_FROM = 0.6, LEAST = 0.85, FULLEST = 1.18;

/**
 * The places where the rows of a list end, and their heights.
 *
 * @param ratios of the pictures, width by height.
 * @param room pixels from edge to edge.
 * @param row the height that is wished for.
 * @param isFull whether more follows: then the last row is filled as the others are.
 * @returns [{from, to, height}]
 */
export function rowsOf(ratios, room, row, gap, isFull) {
  const wide = ratios.map((ratio) => Math.min(ratio || 1, WIDEST) + gap / row);
  const usual = (room + gap) / row;
  let left = wide.reduce((sum, each) => sum + each, 0);
  // Rows that are all filled are a little higher or lower than wished for, so that none is ragged.
  let rows = isFull && left >= FULL_FROM * usual ? Math.max(1, Math.round(left / usual)) : 0;
  const found = [];
  let from = 0, before = usual, height = row;
  while (from < wide.length) {
    // As much as in the row before, if what is left can be shared out well then.
    const wished = rows ? Math.min(Math.max(before, left - (rows - 1) * FULLEST * usual), left - (rows - 1) * LEAST * usual) : usual;
    let to = from, sum = 0;
    while (to < wide.length && (sum < wished || rows === 1)) {
      if (rows > 1 && to > from && sum + wide[to] - wished > wished - sum) break;
      sum += wide[to++];
    }
    const ratio = sum - (to - from) * gap / row, free = room - gap * (to - from - 1);
    const isRagged = !rows && to === wide.length && sum < wished;
    height = isRagged ? Math.min(height, row, free / ratio) : free / ratio;
    found.push({ from, to, height: Math.round(height), ratio, isRagged });
    left -= sum;
    before = sum;
    if (rows > 1) rows -= 1;
    from = to;
  }
  return found;
}

/** The pixels that a list of rows is high. */
export function heightOf(rows, gap) {
  return rows.reduce((sum, each) => sum + each.height + gap, rows.length ? -gap : 0);
}

/** What the lists of a grid have to know of it. */
export function measuresOf(grid) {
  const style = getComputedStyle(grid);
  return {
    // Rounded down: the last tile of a row that is half a pixel too wide begins another one.
    room: Math.floor((grid.querySelector(".rows") ?? grid).getBoundingClientRect().width),
    row: parseFloat(style.getPropertyValue("--row")) || 176,
    gap: parseFloat(style.getPropertyValue("--gap")) || 0,
  };
}

/** Give the tiles of one list the widths that fill each row exactly. */
export function justify(list, { room, row, gap }) {
  if (!room) return;
  const tiles = [...list.children];
  const ratios = tiles.map((tile) => Number(tile.dataset.r));
  for (const one of rowsOf(ratios, room, row, gap, "full" in list.dataset)) {
    let left = room - gap * (one.to - one.from - 1);
    for (let place = one.from; place < one.to; place++) {
      const isLast = place === one.to - 1 && !one.isRagged;
      const exact = (Math.min(ratios[place] || 1, WIDEST) / one.ratio) * (room - gap * (one.to - one.from - 1));
      const width = isLast ? left : Math.floor(one.isRagged ? Math.min(ratios[place] || 1, WIDEST) * one.height : exact);
      left -= width;
      const style = tiles[place].style, colour = tiles[place].dataset.colour;
      // Its main colour until the picture is there; the policy permits no style in the HTML.
      if (colour) style.backgroundColor = colour;
      style.flex = "none";
      style.maxWidth = "none";
      style.width = `${width}px`;
      style.height = `${one.height}px`;
    }
  }
}

/** Justify every list of a grid, or of a part of it. */
export function justifyAll(grid, part = grid) {
  const measures = measuresOf(grid);
  part.querySelectorAll(".rows").forEach((list) => justify(list, measures));
}

const reached = (tile) => tile.querySelectorAll(":scope > a, .acts a, .acts button, .choose input");

/**
 * Make the links of a grid one tab stop, between which arrows move.
 *
 * @returns a function to call when tiles came or went.
 */
export function rove(grid) {
  let stop = null;
  const settle = (tile) => {
    if (stop === tile) return;
    if (stop) reached(stop).forEach((one) => { one.tabIndex = -1; });
    stop = tile;
    if (stop) reached(stop).forEach((one) => { one.tabIndex = 0; });
  };
  // Whoever comes back from a picture is at that picture. `:target` is nothing yet while a page is made.
  const named = location.hash && grid.querySelector(`#${CSS.escape(location.hash.slice(1))}`)?.closest(".tile");
  const inSight = () => [...grid.querySelectorAll(".tile")].find((tile) => tile.getBoundingClientRect().bottom > 60);
  const refresh = () => {
    grid.querySelectorAll(".tile:not([data-roved])").forEach((tile) => {
      tile.dataset.roved = "";
      reached(tile).forEach((one) => { one.tabIndex = -1; });
    });
    if (stop?.isConnected) return;
    stop = null;
    settle(named?.isConnected ? named : inSight() ?? grid.querySelector(".tile"));
  };
  refresh();
  grid.addEventListener("focusin", (event) => {
    const tile = event.target.closest(".tile");
    if (tile) settle(tile);
  });
  grid.addEventListener("keydown", (event) => {
    const tile = event.target.closest(".tile");
    if (!tile || event.ctrlKey || event.metaKey || event.altKey) return;
    const to = next(grid, tile, event.key);
    if (!to) return;
    event.preventDefault();
    to.querySelector("a").focus({ preventScroll: true });
    to.scrollIntoView({ block: "nearest" });
  });
  return refresh;
}

function next(grid, tile, key) {
  if (!/^(Arrow|Home$|End$)/.test(key)) return null;
  const all = [...grid.querySelectorAll(".tile")], here = all.indexOf(tile);
  switch (key) {
    case "ArrowRight": return all[here + 1];
    case "ArrowLeft": return all[here - 1];
    case "Home": return all[0];
    case "End": return all.at(-1);
    default: return across(key === "ArrowDown" ? all.slice(here + 1) : all.slice(0, here).reverse(), tile);
  }
}

/** The tile of the next row whose middle is nearest. */
function across(others, tile) {
  const from = tile.getBoundingClientRect(), middle = (from.left + from.right) / 2;
  let best = null, far = Infinity, rowTop = null;
  for (const other of others) {
    const box = other.getBoundingClientRect();
    if (Math.abs(box.top - from.top) < 4) continue;
    if (rowTop === null) rowTop = box.top;
    if (Math.abs(box.top - rowTop) > 4) break;
    const distance = Math.abs((box.left + box.right) / 2 - middle);
    if (distance < far) { far = distance; best = other; }
  }
  return best;
}
