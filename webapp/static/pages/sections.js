// The pages of a list as sections of a grid: those far away are emptied and keep their height.
//
// A section that comes near is filled again: from memory, or from its address where too many are held.

import { fragment } from "./shell.js";
import { heightOf, justify, measuresOf, rowsOf } from "./grid.js";

const SCREENS = 4, MOST_FILLED = 10, MOST_HELD = 40, AGAIN_MS = 5000;

/**
 * The sections of a grid. `changed` is called after tiles came or went, with the part that came; `tell` with
 * the error when a section cannot be had, and with null when one can again.
 */
export class Sections {
  constructor(grid, changed, tell) {
    this.grid = grid;
    this.changed = changed;
    this.tell = tell;
    this.rests = false;
    this.all = [];
    this.asking = null;
    let isDue = false;
    addEventListener("scroll", () => {
      if (isDue) return;
      isDue = true;
      requestAnimationFrame(() => { isDue = false; this.settle(); });
    }, { passive: true });
  }

  /** Take the sections that stand in the grid; those that were known stay as they are. */
  read() {
    const known = new Map(this.all.map((one) => [one.node, one]));
    this.all = [...this.grid.querySelectorAll(".section")].map((node) => known.get(node) ?? this.found(node));
  }

  found(node) {
    const lists = [...node.querySelectorAll(".rows")];
    const one = { node, src: node.dataset.src, isFilled: true, held: null, extra: 0, lists: [] };
    one.lists = lists.map((list) => ({ isFull: "full" in list.dataset, tiles: [...list.children].map(tileOf) }));
    return one;
  }

  /** Every tile of the list that was loaded, in its order, whether it stands in the document or not. */
  tiles() {
    return this.all.flatMap((one) => one.lists.flatMap((list) => list.tiles));
  }

  /** Take pictures out of the list. */
  drop(ids) {
    for (const one of this.all) {
      for (const list of one.lists) list.tiles = list.tiles.filter((tile) => !ids.has(tile.id));
      for (const tile of (one.held ?? one.node).querySelectorAll(".tile")) if (ids.has(Number(tile.dataset.id))) tile.remove();
    }
    this.resize();
  }

  /** Rows and heights for the present width. */
  resize() {
    const measures = measuresOf(this.grid);
    if (!measures.room) return;
    for (const one of this.all) {
      if (one.isFilled) one.node.querySelectorAll(".rows").forEach((list) => justify(list, measures));
      else one.node.style.height = `${one.extra + this.heightOfLists(one, measures)}px`;
    }
    this.settle();
  }

  heightOfLists(one, { room, row, gap }) {
    return one.lists.reduce((sum, list) =>
      sum + heightOf(rowsOf(list.tiles.map((tile) => tile.ratio), room, row, gap, list.isFull), gap), 0);
  }

  /** Fill what is near, and empty what is far. */
  settle() {
    const screen = innerHeight;
    const far = new Map();
    for (const one of this.all) {
      const box = one.node.getBoundingClientRect();
      far.set(one, box.bottom < 0 ? -box.bottom : Math.max(0, box.top - screen));
    }
    const near = [...this.all].sort((a, b) => far.get(a) - far.get(b));
    const wanted = new Set(near.filter((one, place) =>
      far.get(one) === 0 || (place < MOST_FILLED && far.get(one) < SCREENS * screen)));
    for (const one of this.all) if (one.isFilled && !wanted.has(one)) this.empty(one);
    let asked = null;
    for (const one of near) {
      if (one.isFilled || !wanted.has(one)) continue;
      if (one.held) this.fill(one, one.held);
      else asked ??= one;
    }
    if (asked) this.ask(asked);
    this.forget(near);
  }

  empty(one) {
    if (one.node.contains(document.activeElement)) return;
    const measures = measuresOf(this.grid);
    const height = one.node.offsetHeight;
    one.extra = height - this.heightOfLists(one, measures);
    one.node.style.height = `${height}px`;
    one.held = document.createDocumentFragment();
    one.held.append(...one.node.childNodes);
    one.isFilled = false;
  }

  fill(one, nodes) {
    one.node.replaceChildren(nodes);
    one.node.style.height = "";
    one.held = null;
    one.isFilled = true;
    const measures = measuresOf(this.grid);
    one.node.querySelectorAll(".rows").forEach((list) => justify(list, measures));
    this.changed(one.node);
    this.afterFill?.(one.node);
  }

  /** Drop what is held beyond a bound, the farthest first; the first section has no lasting address. */
  forget(near) {
    const held = near.filter((one) => one.held && one !== this.all[0]);
    for (const one of held.slice(MOST_HELD)) one.held = null;
  }

  async ask(one) {
    if (this.asking === one || this.rests) return;
    this.asking = one;
    try {
      const page = await fragment(one.src);
      if (one.isFilled || !one.node.isConnected) return;
      const section = page.querySelector(".section");
      one.lists = this.found(section).lists;
      const nodes = document.createDocumentFragment();
      nodes.append(...section.childNodes);
      this.fill(one, nodes);
      this.tell(null);
    } catch (error) {
      // It stays empty, and is asked for again after a rest: scrolling must not flood a busy server.
      this.tell(error);
      this.rests = true;
      setTimeout(() => { this.rests = false; this.settle(); }, AGAIN_MS);
      return;
    } finally {
      this.asking = null;
    }
    this.settle();
  }

  /** What is needed to build the sections again, without their tiles. */
  saved() {
    const measures = measuresOf(this.grid);
    return this.all.map((one) => ({
      src: one.src,
      extra: one.isFilled ? one.node.offsetHeight - this.heightOfLists(one, measures) : one.extra,
      lists: one.lists,
    }));
  }

  /** Build sections after the first one again, each as high as it will be. */
  restore(saved) {
    const measures = measuresOf(this.grid);
    let last = this.all.at(-1).node;
    for (const { src, extra, lists } of saved.slice(1)) {
      const node = document.createElement("div");
      node.className = "section";
      node.dataset.src = src;
      const one = { node, src, isFilled: false, held: null, extra, lists };
      node.style.height = `${extra + this.heightOfLists(one, measures)}px`;
      last.after(node);
      last = node;
      this.all.push(one);
    }
  }
}

/** What selection and rows need of a tile. */
function tileOf(tile) {
  return {
    id: Number(tile.dataset.id),
    ratio: Number(tile.dataset.r),
    isOwn: "own" in tile.dataset,
    isPublic: !("private" in tile.dataset),
    isWeak: tile.classList.contains("weak"),
  };
}
