// An area of the map: drawn with Shift or in the mode for it, or all that is in view; it leads to Explore.

import { told } from "./shell.js";

const SIDE = 65535, LEAST_PX = 6;

/**
 * The chosen area of a plane.
 *
 * @param plane the element; `data-area` is the area of the address, `data-explore` Explore's address.
 * @param map what is on it: `frame()`, `data`, `lit()`, and `changed()` after a new area.
 */
export class Area {
  constructor(plane, map) {
    this.plane = plane;
    this.map = map;
    this.box = plane.querySelector(".area");
    this.line = document.getElementById("area");
    this.mode = document.querySelector("[data-mode=area]");
    this.chosen = (plane.dataset.area || "").split(",").map(Number);
    if (this.chosen.length !== 4) this.chosen = null;
    this.from = null;
    this.mode.addEventListener("click", () => this.turn(!this.isOn));
    this.line.addEventListener("click", (event) => {
      if (!event.target.closest("[data-do=clear]")) return;
      this.set(null);
      plane.focus({ preventScroll: true });
    });
    this.tell();
  }

  get isOn() {
    return this.mode.getAttribute("aria-pressed") === "true";
  }

  turn(isOn) {
    this.mode.setAttribute("aria-pressed", `${isOn}`);
    this.plane.classList.toggle("choosing", isOn);
  }

  /** Begin where a pointer is; true where an area is drawn now. */
  begin(event) {
    if (!event.shiftKey && !this.isOn) return false;
    this.from = { x: event.offsetX, y: event.offsetY };
    return true;
  }

  move(event) {
    this.to = { x: event.offsetX, y: event.offsetY };
    this.chosen = this.between(this.from, this.to);
    this.draw();
  }

  end() {
    const { from, to } = this;
    this.from = this.to = null;
    this.turn(false);
    const isDrawn = to && Math.abs(to.x - from.x) > LEAST_PX && Math.abs(to.y - from.y) > LEAST_PX;
    this.set(isDrawn ? this.chosen : null);
  }

  /** Choose all that is in view. */
  view() {
    const { width, height } = this.map.frame();
    this.set(this.between({ x: 0, y: 0 }, { x: width, y: height }));
  }

  between(from, to) {
    const at = this.map.frame();
    const place = (px, start) => Math.round(Math.min(SIDE, Math.max(0, (px - start) / at.scale)));
    const across = [place(from.x, at.left), place(to.x, at.left)], down = [place(from.y, at.top), place(to.y, at.top)];
    return [Math.min(...across), Math.min(...down), Math.max(...across), Math.max(...down)];
  }

  set(chosen) {
    this.chosen = chosen;
    this.draw();
    this.tell();
    this.map.changed();
  }

  /** How many points are in the area; of those that a search lights up, where it does. */
  count() {
    const [left, top, right, bottom] = this.chosen, { x, y, n } = this.map.data, lit = this.map.lit();
    let count = 0;
    for (let i = 0; i < n; i++) {
      if (x[i] >= left && x[i] <= right && y[i] >= top && y[i] <= bottom && (!lit || lit[i])) count++;
    }
    return count;
  }

  /** Write how many there are, with the way to them. */
  tell() {
    this.line.hidden = !this.chosen;
    if (!this.chosen) return;
    const count = this.count(), link = this.line.querySelector("a");
    this.line.querySelector("span").textContent = told("in-area", { count });
    const address = new URL(this.plane.dataset.explore, location.href);
    for (const [name, value] of new FormData(document.getElementById("search"))) {
      if (value) address.searchParams.append(name, value);
    }
    address.searchParams.set("area", this.chosen.join(","));
    link.href = address;
    link.hidden = !count;
  }

  draw(at = this.map.frame()) {
    this.box.hidden = !this.chosen;
    if (!this.chosen) return;
    const [left, top, right, bottom] = this.chosen;
    this.box.style.transform = `translate(${left * at.scale + at.left}px, ${top * at.scale + at.top}px)`;
    this.box.style.width = `${(right - left) * at.scale}px`;
    this.box.style.height = `${(bottom - top) * at.scale}px`;
  }
}
