// What can be done with a tile, for fingers: a long press opens it.

const PRESS_MS = 500, MOVED_PX = 10;

/** Open the menu of a tile where it is pressed for long; `select` is called with an image's id. */
export function pressForLong(grid, select) {
  const menu = document.getElementById("tile-menu");
  let press = 0, from = null, isByFinger = false, opened = false;

  function open(tile) {
    opened = true;
    const link = tile.querySelector(":scope > a");
    document.getElementById("tile-title").textContent = link.querySelector("img").alt;
    document.getElementById("tile-date").textContent = link.querySelector("time").textContent;
    menu.dataset.id = tile.dataset.id;
    menu.querySelector('[data-go="open"]').href = link.href;
    for (const act of ["more", "less"]) {
      menu.querySelector(`[data-go="${act}"]`).href = tile.querySelector(`[data-act="${act}"]`).href;
    }
    menu.showModal();
  }

  grid.addEventListener("pointerdown", (event) => {
    isByFinger = event.pointerType === "touch";
    opened = false;
    const tile = event.target.closest(".tile");
    clearTimeout(press);
    if (!isByFinger || !tile || event.target.closest(".choose, .acts")) return;
    from = [event.clientX, event.clientY];
    press = setTimeout(() => open(tile), PRESS_MS);
  });
  grid.addEventListener("pointermove", (event) => {
    if (from && Math.hypot(event.clientX - from[0], event.clientY - from[1]) > MOVED_PX) clearTimeout(press);
  });
  for (const name of ["pointerup", "pointercancel"]) grid.addEventListener(name, () => clearTimeout(press));
  // The browser's own menu for links, where a finger asked for it.
  grid.addEventListener("contextmenu", (event) => {
    const tile = event.target.closest(".tile");
    if (!isByFinger || !tile) return;
    event.preventDefault();
    clearTimeout(press);
    if (!menu.open) open(tile);
  });
  // The finger that opened the menu lets go over the picture: that is no click.
  grid.addEventListener("click", (event) => {
    if (!opened) return;
    opened = false;
    event.preventDefault();
    event.stopPropagation();
  }, { capture: true });
  menu.addEventListener("click", (event) => {
    const go = event.target.closest("[data-go]")?.dataset.go;
    if (go === "select") select(Number(menu.dataset.id));
    if (go === "select" || go === "close" || event.target === menu) menu.close();
  });
}
