// Selecting pictures, and what can be done with many of them.

import { call, isPlainKey, reasonOf, say, told } from "./shell.js";
import { choosePack } from "./packing.js";

const AT_ONCE = 500, LOOK_MS = 1000;

/**
 * The selection of a grid; `sections` knows every tile that was loaded. `more` loads the next page of the list,
 * and tells whether there was one; `again` asks for the list anew.
 */
export class Selection {
  constructor(grid, sections, { more, again }) {
    this.grid = grid;
    this.sections = sections;
    this.more = more;
    this.again = again;
    this.chosen = new Map();
    this.anchor = null;
    this.everything = false;
    this.howMany = null;
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
    this.bar.querySelector('[data-do="matches"]').hidden = !whole.hidden || !this.sections.tiles().some((tile) => !tile.isWeak);
    this.everything &&= count > 0 && !whole.hidden;
    whole.setAttribute("aria-pressed", String(this.everything));
    const all = this.howMany ? told("everything-n", { n: this.howMany }) : told("everything");
    const text = this.everything ? all : told("selected", { n: count });
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
      this.howMany = null;
      this.show();
      if (this.everything) this.count();
    }
    if (wish === "matches") this.matches();
    if (wish === "pack") this.pack();
    if (wish === "delete") this.remove();
    if (wish === "public" || wish === "private") {
      const isPublic = wish === "public";
      this.change("set_visibility", wish, { show: (tile) => this.mark(tile, isPublic) });
    }
  }

  /** Say how many all of one's own in the list are. */
  async count() {
    const asked = new URLSearchParams({ mine: "true", limit: "1" });
    for (const [name, value] of Object.entries(this.filter())) for (const each of [value].flat()) asked.append(name, each);
    try {
      const { total } = await call("GET", `${this.grid.dataset.images.replace(/\/$/, "")}?${asked}`);
      if (total?.is_exact) this.howMany = total.value;
      this.show();
    } catch {
      // The sentence without a number holds as well.
    }
  }

  /** Choose all clear matches of a search, also those that are not loaded yet. */
  async matches() {
    const progress = document.getElementById("progress");
    progress.hidden = false;
    while (!this.sections.tiles().some((tile) => tile.isWeak) && (await this.more()));
    progress.hidden = true;
    for (const tile of this.sections.tiles()) if (!tile.isWeak) this.chosen.set(tile.id, tile);
    this.show();
  }

  /** Put them into a pack that is asked for. */
  async pack() {
    const pack = await choosePack();
    if (pack) this.change("add_to_pack", pack.id, { ofAnybody: true, says: "packed" });
  }

  /** Put them into the trash. */
  remove() {
    this.change("delete", undefined, { says: "deleted", isGone: true });
  }

  /** Put tags on them: one, or several separated by commas. */
  tag(form) {
    const tags = form.elements.tags.value.split(",").map((one) => one.trim()).filter(Boolean);
    if (tags.length) this.change("add_tags", tags, { then: () => form.reset() });
  }

  /**
   * Change what is chosen, or all of one's own in the list, and offer to set it back.
   *
   * `show` marks a tile that was changed, `then` is done where nothing was refused; `ofAnybody`: also other
   * people's pictures; `says` names the sentence; `isGone`: what was changed leaves the list.
   */
  async change(action, value, { show = () => {}, then = () => {}, ofAnybody = false, says = "changed", isGone = false } = {}) {
    const filter = this.everything ? this.filter() : null;
    const tiles = filter ? this.sections.tiles() : [...this.chosen.values()];
    const meant = ofAnybody && !filter ? tiles : tiles.filter((tile) => tile.isOwn), ids = meant.map((tile) => tile.id);
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
    const changed = isWhole && !isLater ? meant.filter((tile) => !failed.has(tile.id)) : [];
    for (const tile of changed) show(tile);
    if (isLater) lines.push(told("later"));
    else if (done.length) lines.push(told(says, { n: done.reduce((sum, one) => sum + one.done, 0) }));
    if (!filter && meant.length < tiles.length) lines.push(told("not-yours", { n: tiles.length - meant.length }));
    const count = done.reduce((sum, one) => sum + one.failed_count, 0);
    if (count) lines.push(told("failed", { n: count, why: [...failed.values()][0].detail }));
    const undone = async () => {
      try {
        for (const one of done) if (one.undo_url) await call("POST", one.undo_url);
        if (isGone) this.again();
        for (const tile of meant) this.mark(tile, before.get(tile.id));
        say(told("undone"));
      } catch (error) {
        say(reasonOf(error));
      }
    };
    const undo = done.some((one) => one.undo_url) ? { text: told("undo"), run: undone } : undefined;
    say(lines.join(" "), undo);
    if (isGone && changed.length) this.leave(changed);
    if (isLater) this.follow(done[0], says, isGone, undo);
  }

  /** Take pictures out of the grid; whoever works by keys goes on at its first picture. */
  leave(tiles) {
    const hadFocus = this.bar.contains(document.activeElement);
    this.sections.drop(new Set(tiles.map((tile) => tile.id)));
    this.keep();
    if (hadFocus) this.grid.querySelector(".tile > a")?.focus();
  }

  /** Tell how far a job is that changes many, and what became of it. */
  async follow(batch, says, isGone, undo) {
    const progress = document.getElementById("progress"), line = document.getElementById("selected");
    let now = batch;
    try {
      while (now.state === "running") {
        await new Promise((done) => setTimeout(done, LOOK_MS));
        const job = await call("GET", now.job_url);
        progress.hidden = false;
        if (job.total) {
          progress.max = job.total;
          progress.value = job.done;
          line.textContent = told("doing", { done: job.done, total: job.total });
        }
        now = await call("GET", now.undo_url);
      }
      if (now.state === "done") say(told(says, { n: now.done }), undo);
    } catch (error) {
      // Activity goes on telling it.
      say(reasonOf(error));
    }
    progress.hidden = true;
    progress.removeAttribute("value");
    if (isGone) this.again();
    else this.show();
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
