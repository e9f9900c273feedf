// Selecting pictures, and what can be done with many of them.

import { call, isPlainKey, reasonOf, say, told } from "./shell.js";

const AT_ONCE = 500;

/** The selection of a grid; `sections` knows every tile that was loaded. */
export class Selection {
  constructor(grid, sections) {
    this.grid = grid;
    this.sections = sections;
    this.chosen = new Map();
    this.anchor = null;
    this.everything = false;
    this.bar = document.getElementById("selection");
    document.body.append(this.bar);
    grid.addEventListener("change", (event) => {
      const tile = event.target.closest(".choose")?.closest(".tile");
      if (tile) this.toggle(Number(tile.dataset.id), event.target.checked);
    });
    grid.addEventListener("click", (event) => this.clicked(event), { capture: true });
    grid.addEventListener("keydown", (event) => this.pressed(event), { capture: true });
    document.getElementById("tag-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.tag(event.target);
    });
    this.bar.addEventListener("click", (event) => this.act(event.target.closest("[data-do]")?.dataset.do));
  }

  /** Give the tiles of a part their boxes, and show what of them is chosen. */
  show(part = this.grid) {
    const known = part === this.grid ? null : new Map(this.sections.tiles().map((tile) => [tile.id, tile]));
    for (const tile of part.querySelectorAll(".tile")) {
      const one = known?.get(Number(tile.dataset.id));
      if (one && one.isPublic === ("private" in tile.dataset)) markTile(tile, one.isPublic);
      let box = tile.querySelector(".choose input");
      if (!box) {
        const label = document.createElement("label");
        label.className = "choose";
        box = document.createElement("input");
        box.type = "checkbox";
        box.tabIndex = -1;
        box.setAttribute("aria-label", told("select", { title: tile.querySelector("img").alt }));
        box.setAttribute("aria-keyshortcuts", "x");
        label.append(box);
        tile.append(label);
      }
      box.checked = this.chosen.has(Number(tile.dataset.id));
      tile.classList.toggle("chosen", box.checked);
    }
    const count = this.chosen.size;
    this.bar.hidden = !count;
    this.grid.classList.toggle("choosing", count > 0);
    const whole = this.bar.querySelector('[data-do="everything"]');
    whole.hidden = !this.filter();
    this.everything &&= count > 0 && !whole.hidden;
    whole.setAttribute("aria-pressed", String(this.everything));
    const text = this.everything ? told("everything") : told("selected", { n: count });
    document.getElementById("selected").textContent = count ? text : "";
  }

  /** Forget those that are in the list no more. */
  keep() {
    const there = new Set(this.sections.tiles().map((tile) => tile.id));
    for (const id of this.chosen.keys()) if (!there.has(id)) this.chosen.delete(id);
    if (!there.has(this.anchor)) this.anchor = null;
    this.show();
  }

  toggle(id, isWanted = !this.chosen.has(id)) {
    const tile = this.sections.tiles().find((one) => one.id === id);
    if (isWanted && tile) this.chosen.set(id, tile);
    else this.chosen.delete(id);
    this.anchor = id;
    this.show();
  }

  /** Choose all from the one that was chosen last to this one. */
  reach(id) {
    const tiles = this.sections.tiles(), ids = tiles.map((one) => one.id);
    const ends = [ids.indexOf(this.anchor ?? id), ids.indexOf(id)].sort((a, b) => a - b);
    for (const tile of tiles.slice(Math.max(0, ends[0]), ends[1] + 1)) this.chosen.set(tile.id, tile);
    this.anchor ??= id;
    this.show();
  }

  clicked(event) {
    const tile = event.target.closest(".tile");
    if (!tile || event.target.closest(".acts") || event.ctrlKey || event.metaKey) return;
    const id = Number(tile.dataset.id);
    if (event.shiftKey) {
      event.preventDefault();
      this.reach(id);
    } else if (this.chosen.size && event.target.closest(".tile > a") && event.detail) {
      // With something chosen a click chooses; Enter still opens.
      event.preventDefault();
      this.toggle(id);
    }
  }

  pressed(event) {
    const tile = event.target.closest(".tile");
    if (!tile) return;
    const id = Number(tile.dataset.id);
    if (isPlainKey(event) && event.key.toLowerCase() === "x") {
      event.preventDefault();
      this.toggle(id);
    } else if (event.key === "Escape" && this.chosen.size) {
      event.preventDefault();
      event.stopPropagation();
      this.clear();
    } else if (event.shiftKey && event.key.startsWith("Arrow")) {
      this.anchor ??= id;
      this.reach(this.anchor);
      // The arrow moves the focus first; what it reached is chosen then.
      setTimeout(() => {
        const reached = document.activeElement.closest(".tile");
        if (reached) this.reach(Number(reached.dataset.id));
      });
    }
  }

  clear() {
    const last = this.anchor;
    this.chosen.clear();
    this.anchor = null;
    const hadFocus = this.bar.contains(document.activeElement);
    this.show();
    if (hadFocus) this.grid.querySelector(`.tile[data-id="${last}"] > a`)?.focus();
  }

  act(wish) {
    if (wish === "clear") this.clear();
    if (wish === "all") {
      for (const tile of this.sections.tiles()) this.chosen.set(tile.id, tile);
      this.show();
    }
    if (wish === "everything") {
      this.everything = !this.everything;
      this.show();
    }
    if (wish === "public" || wish === "private") {
      const isPublic = wish === "public";
      this.change("set_visibility", wish, (tile) => this.mark(tile, isPublic));
    }
  }

  /** Put tags on them: one, or several separated by commas. */
  tag(form) {
    const tags = form.elements.tags.value.split(",").map((one) => one.trim()).filter(Boolean);
    if (tags.length) this.change("add_tags", tags, () => {}, () => form.reset());
  }

  /** Change what is chosen, or all of one's own in the list, and offer to set it back. */
  async change(action, value, show, then = () => {}) {
    const filter = this.everything ? this.filter() : null;
    const tiles = filter ? this.sections.tiles() : [...this.chosen.values()];
    const own = tiles.filter((tile) => tile.isOwn), ids = own.map((tile) => tile.id);
    const some = [];
    for (let start = 0; start < ids.length; start += AT_ONCE) some.push({ ids: ids.slice(start, start + AT_ONCE) });
    const done = [], failed = new Map(), progress = document.getElementById("progress");
    const lines = [], before = new Map(tiles.map((tile) => [tile.id, tile.isPublic]));
    progress.hidden = false;
    try {
      for (const which of filter ? [{ filter }] : some) done.push(await call("POST", this.bar.dataset.batch, { json: { ...which, action, value } }));
      then();
    } catch (error) {
      lines.push(reasonOf(error));
    }
    progress.hidden = true;
    for (const one of done) for (const each of one.failed) failed.set(each.id, each);
    const isLater = done.some((one) => one.state === "running"), isWhole = !lines.length;
    for (const tile of isWhole && !isLater ? own : []) if (!failed.has(tile.id)) show(tile);
    if (isLater) lines.push(told("later"));
    else if (done.length) lines.push(told("changed", { n: done.reduce((sum, one) => sum + one.done, 0) }));
    if (!filter && own.length < tiles.length) lines.push(told("not-yours", { n: tiles.length - own.length }));
    const count = done.reduce((sum, one) => sum + one.failed_count, 0);
    if (count) lines.push(told("failed", { n: count, why: [...failed.values()][0].detail }));
    const undone = async () => {
      try {
        for (const one of done) if (one.undo_url) await call("POST", one.undo_url);
        for (const tile of own) this.mark(tile, before.get(tile.id));
        say(told("undone"));
      } catch (error) {
        say(reasonOf(error));
      }
    };
    say(lines.join(" "), done.some((one) => one.undo_url) ? { text: told("undo"), run: undone } : undefined);
  }

  /** The filter of the list, as the server takes it; null for a search, which has no end. */
  filter() {
    const text = this.grid.querySelector(".section")?.dataset.filter;
    return text ? JSON.parse(text) : null;
  }

  mark(tile, isPublic) {
    tile.isPublic = isPublic;
    const node = this.grid.querySelector(`.tile[data-id="${tile.id}"]`);
    // One that is not in the document now is marked when it is filled again.
    if (node) markTile(node, tile.isPublic);
  }
}

/** Show whether everybody sees a picture. */
export function markTile(node, isPublic) {
  node.toggleAttribute("data-private", !isPublic);
  const lock = node.querySelector(".locked");
  if (isPublic) lock?.remove();
  else if (!lock) node.querySelector("img").after(document.getElementById("lock").content.cloneNode(true));
}
