// The grid: exact rows, one tab stop, arrows by geometry, and sections that are emptied far away.

const wide = 3.0;

/** Give the tiles of one list the widths that fill each row exactly. */
export function justify(list) {
  const style = getComputedStyle(list);
  // Rounded down: the last tile of a row that is half a pixel too wide begins another one.
  const room = Math.floor(list.getBoundingClientRect().width);
  const row = parseFloat(style.getPropertyValue("--row")) || 176;
  const gap = parseFloat(style.columnGap) || 0;
  if (!room) return;
  let some = [], ratios = 0, height = row;
  const close = (isLast) => {
    const free = room - gap * (some.length - 1);
    height = isLast ? Math.min(height, row, free / ratios) : free / ratios;
    let left = free;
    some.forEach(([tile, ratio], place) => {
      let width = Math.floor(ratio * height);
      if (!isLast && place === some.length - 1) width = left;
      left -= width;
      tile.style.flex = "none";
      tile.style.maxWidth = "none";
      tile.style.width = `${width}px`;
      tile.style.height = `${Math.round(height)}px`;
    });
    some = [];
    ratios = 0;
  };
  for (const tile of list.children) {
    const ratio = Math.min(Number(tile.dataset.r) || 1, wide);
    some.push([tile, ratio]);
    ratios += ratio;
    if (ratios * row + gap * (some.length - 1) >= room) close(false);
  }
  if (some.length) close(true);
}

/** Justify every list below a node. */
export function justifyAll(node) {
  node.querySelectorAll(".rows").forEach(justify);
}

/** Make the links of a grid one tab stop, between which arrows move. */
export function rove(grid) {
  const links = () => [...grid.querySelectorAll(".tile > a")];
  const settle = (chosen) => {
    for (const link of links()) {
      const isChosen = link === chosen;
      link.tabIndex = isChosen ? 0 : -1;
      link.parentElement.querySelectorAll(".acts a").forEach((act) => { act.tabIndex = isChosen ? 0 : -1; });
    }
  };
  // Whoever comes back from a picture is at that picture. `:target` is nothing yet while a page is made.
  const named = location.hash && grid.querySelector(`#${CSS.escape(location.hash.slice(1))} > a`);
  const first = () => settle(grid.querySelector('.tile > a[tabindex="0"]') || named || links()[0]);
  first();
  grid.addEventListener("focusin", (event) => {
    const tile = event.target.closest(".tile");
    if (tile) settle(tile.querySelector("a"));
  });
  grid.addEventListener("keydown", (event) => {
    const tile = event.target.closest(".tile");
    if (!tile || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = links(), here = all.indexOf(tile.querySelector("a"));
    let to = null;
    if (event.key === "ArrowRight") to = all[here + 1];
    else if (event.key === "ArrowLeft") to = all[here - 1];
    else if (event.key === "Home") to = all[0];
    else if (event.key === "End") to = all[all.length - 1];
    else if (event.key === "ArrowDown" || event.key === "ArrowUp") to = across(all, all[here], event.key === "ArrowDown");
    if (!to) return;
    event.preventDefault();
    to.focus();
    to.scrollIntoView({ block: "nearest" });
  });
  return first;
}

/** The link of the next row whose middle is nearest. */
function across(all, link, isDown) {
  const from = link.getBoundingClientRect(), middle = (from.left + from.right) / 2;
  let best = null, far = Infinity, rowTop = null;
  const ordered = isDown ? all : [...all].reverse();
  for (const other of ordered.slice(ordered.indexOf(link) + 1)) {
    const box = other.getBoundingClientRect();
    if (Math.abs(box.top - from.top) < 4) continue;
    if (rowTop === null) rowTop = box.top;
    if (Math.abs(box.top - rowTop) > 4) break;
    const distance = Math.abs((box.left + box.right) / 2 - middle);
    if (distance < far) { far = distance; best = other; }
  }
  return best;
}
