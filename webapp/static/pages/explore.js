// Explore: results while typing, filters, a list without end that stays small, and the way back into it.

import { call, fragment, isPlainKey, reasonOf, told, Refused } from "./shell.js";
import { justifyAll, rove } from "./grid.js";
import { askWithPictures } from "./pictures.js";
import { Sections } from "./sections.js";
import { Selection } from "./selection.js";
import { pressForLong } from "./tile-menu.js";

const grid = document.getElementById("grid");
const form = document.getElementById("search");
const box = document.getElementById("q");
const filters = document.getElementById("filters");
const PAUSE_MS = 160, AHEAD_PX = 900, KEPT_LISTS = 10;

justifyAll(grid);
const refresh = rove(grid);
const sections = new Sections(grid, (part) => { selection.show(part); refresh(); }, (error) => tell(error));
sections.read();
const selection = new Selection(grid, sections, { more: next, again: () => ask(false) });
selection.show();
pressForLong(grid, (id) => selection.toggle(id));

/** Tiles came: rows, sections, boxes to choose. */
function arrived() {
  justifyAll(grid);
  sections.read();
  selection.keep();
  refresh();
  watch();
  sections.settle();
}

// What went wrong stays in a line until something goes well.
const trouble = document.getElementById("trouble");

function tell(error) {
  if (!error) return trouble.replaceChildren();
  if (error.name === "AbortError") return;
  const lines = [];
  if (error.status === 401 && document.getElementById("t-sign-in")) {
    lines.push(told("sign-in"));
    const link = document.createElement("a");
    link.href = trouble.dataset.signIn || location.pathname;
    if (trouble.dataset.signIn) link.search = new URLSearchParams({ next: pathOf(addressOfForm()) });
    link.textContent = told("sign-in-again");
    lines.push(" ", link);
  } else lines.push(reasonOf(error));
  trouble.replaceChildren(...lines);
}

const pathOf = (address) => address.pathname + address.search;

/** A page of a list; one that is not of the person of this page is refused, as where a session has ended. */
async function listOf(address, how) {
  const page = await fragment(address, how);
  const viewer = (part) => part.querySelector(".section")?.dataset.viewer;
  if (viewer(page) !== viewer(document)) throw new Refused(401, { detail: told("sign-in") });
  return page;
}

// A list without end: the link to the next page is followed when it comes near.
let loading = null, going = null;
const near = new IntersectionObserver((seen) => {
  for (const one of seen) if (one.isIntersecting) more(one.target.querySelector("a"));
}, { rootMargin: `${AHEAD_PX}px` });

/** Load the next page of the list, where there is one; true where it came. */
async function next() {
  await going;
  const link = grid.querySelector(".more a");
  if (link) more(link);
  return link ? going : false;
}

function more(link) {
  if (!loading) going = load(link);
}

async function load(link) {
  const holder = link.closest(".more"), mine = (loading = new AbortController());
  let isDone = false;
  try {
    const nodes = await listOf(link.href, { signal: mine.signal });
    holder.replaceWith(nodes);
    isDone = true;
  } catch (error) {
    // The link stays, and can be followed by hand.
    tell(error);
  } finally {
    if (loading === mine) loading = null;
  }
  if (isDone) { trouble.replaceChildren(); arrived(); }
  return isDone;
}

// By hand, where asking by itself went wrong: the list goes on in its place.
grid.addEventListener("click", (event) => {
  const link = event.target.closest(".more a");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  more(link);
});

function watch() {
  near.disconnect();
  const holder = grid.querySelector(".more");
  if (holder) near.observe(holder);
}

// Results while typing: the older request is cancelled, old results stay until new ones are there.
let asking = null, pause = 0, shown = location.pathname + location.search;

function addressOfForm() {
  const address = new URL(form.action);
  for (const [name, value] of new FormData(form)) if (value) address.searchParams.append(name, value);
  address.searchParams.delete("filters");
  return address;
}

async function ask(isEntered) {
  clearTimeout(pause);
  asking?.abort();
  loading?.abort();
  const mine = (asking = new AbortController());
  const address = addressOfForm();
  grid.classList.add("late");
  try {
    const page = await listOf(address, { signal: mine.signal });
    for (const name of ["verdict", "asked", "try", "order"]) {
      const part = page.querySelector(`#part-${name}`);
      document.getElementById(name).replaceChildren(...(part ? part.content.childNodes : []));
      part?.remove();
    }
    toFilters(isPanelOpen());
    grid.replaceChildren(page);
    const isOther = pathOf(address) !== shown;
    if (isOther) history[isEntered ? "pushState" : "replaceState"]({}, "", address);
    shown = pathOf(address);
    document.title = `${box.value.trim() || told("explore")} · Mirada`;
    trouble.replaceChildren();
    arrived();
  } catch (error) {
    tell(error);
  } finally {
    if (asking === mine) { asking = null; grid.classList.remove("late"); }
  }
}

box.addEventListener("input", () => {
  clearTimeout(pause);
  asking?.abort();
  const words = box.value.trim();
  if (words.length === 1) return;
  pause = setTimeout(() => ask(false), PAUSE_MS);
});
form.addEventListener("submit", (event) => { event.preventDefault(); ask(true); });
// A link within the page, such as the one past the bar, is no other list.
addEventListener("popstate", () => { if (location.pathname + location.search !== shown) location.reload(); });

// Filters: the panel is asked for when it is opened, with the counts of that moment.
const isPanelOpen = () => Boolean(filters.querySelector(".panel"));
const toFilters = (isOpen) => document.getElementById("to-filters").setAttribute("aria-expanded", String(isOpen));

async function openFilters(isStillWanted = () => true) {
  const panel = await fragment(addressOfForm(), { part: "filters" });
  if (!isStillWanted()) return;
  filters.replaceChildren(panel);
  toFilters(true);
}

/** Leave of the panel what it asks for. */
function closeFilters() {
  const kept = [...new FormData(form)].filter(([name, value]) => value && !["q", "plus", "minus", "filters"].includes(name));
  filters.replaceChildren(...kept.map(([name, value]) => {
    const field = document.createElement("input");
    field.type = "hidden";
    field.setAttribute("form", form.id);
    Object.assign(field, { name, value });
    return field;
  }));
  toFilters(false);
}

document.getElementById("order").addEventListener("click", async (event) => {
  if (!event.target.closest("#to-filters") || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (isPanelOpen()) return closeFilters();
  try { await openFilters(); } catch (error) { tell(error); }
});
filters.addEventListener("change", async (event) => {
  const { id, name, value } = event.target;
  await ask(true);
  // Counts follow what was chosen; the focus stays where it was. Whoever closes the panel meanwhile is left alone.
  try { await openFilters(isPanelOpen); } catch (error) { return tell(error); }
  if (!isPanelOpen()) return;
  const again = id ? document.getElementById(id) : [...filters.querySelectorAll("input")].find((one) => one.name === name && one.value === value);
  again?.focus();
});
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});

// Density changes at once, and is remembered.
document.getElementById("density").addEventListener("submit", (event) => {
  event.preventDefault();
  const { value } = event.submitter;
  for (const button of event.target.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.value === value));
  grid.dataset.density = value;
  sections.resize();
  call("POST", event.target.action, { body: new URLSearchParams([...new FormData(event.target), ["density", value]]) }).catch(tell);
});

box.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") {
    const first = grid.querySelector(".tile > a");
    if (first) { event.preventDefault(); first.focus(); }
  } else if (event.key === "Backspace" && !box.selectionStart && !box.selectionEnd) {
    const chips = form.querySelectorAll(".chip .drop");
    if (chips.length) { event.preventDefault(); chips[chips.length - 1].click(); }
  }
});
grid.addEventListener("keydown", (event) => {
  const tile = event.target.closest(".tile");
  if (!tile || !isPlainKey(event)) return;
  const act = { "+": "more", "-": "less" }[event.key];
  if (act) { event.preventDefault(); tile.querySelector(`[data-act="${act}"]`)?.click(); }
  if (event.key === "Escape") box.focus();
});

// The ends of the list may be emptied: they are filled before the focus goes there.
grid.addEventListener("keydown", (event) => {
  if (!isPlainKey(event) || !["Home", "End"].includes(event.key)) return;
  scrollTo(0, event.key === "Home" ? 0 : document.body.scrollHeight);
  sections.settle();
}, { capture: true });

askWithPictures({ addressNow: addressOfForm, trouble: tell, add: toLibrary });

/** Put files into the queue of the page that adds them, and go there. */
async function toLibrary(files, href) {
  try {
    const { enqueue } = await import("./queue.js");
    await enqueue(files);
  } catch (error) {
    return tell(error);
  }
  location.assign(href);
}

// The way back: the same place of the same list, with the focus on the picture one came from.
const place = () => `explore:${location.pathname}${location.search}`;

addEventListener("pagehide", () => {
  const kept = {
    at: Date.now(),
    top: scrollY,
    id: document.activeElement?.closest(".tile")?.dataset.id ?? null,
    next: grid.querySelector(".more a")?.href ?? null,
    sections: sections.saved(),
  };
  try {
    const others = Object.keys(sessionStorage).filter((key) => key.startsWith("explore:") && key !== place());
    others.sort((a, b) => JSON.parse(sessionStorage[a]).at - JSON.parse(sessionStorage[b]).at);
    for (const key of others.slice(0, Math.max(0, others.length - KEPT_LISTS + 1))) sessionStorage.removeItem(key);
    sessionStorage.setItem(place(), JSON.stringify(kept));
  } catch {
    // Full, or switched off: back begins at the first page then.
  }
});

function comeBack() {
  const how = performance.getEntriesByType("navigation")[0]?.type;
  const kept = how === "back_forward" || how === "reload" ? JSON.parse(sessionStorage.getItem(place()) ?? "null") : null;
  if (!kept) return;
  history.scrollRestoration = "manual";
  sections.restore(kept.sections);
  const holder = grid.querySelector(".more");
  if (holder && kept.sections.length > 1) {
    if (kept.next) {
      holder.querySelector("a").href = kept.next;
      grid.append(holder);
    } else holder.remove();
  }
  scrollTo(0, kept.top);
  sections.settle();
  const focus = () => grid.querySelector(`.tile[data-id="${kept.id}"] > a`)?.focus({ preventScroll: true });
  focus();
  if (kept.id && !grid.contains(document.activeElement)) sections.afterFill = (part) => {
    if (!part.querySelector(`.tile[data-id="${kept.id}"]`)) return;
    sections.afterFill = null;
    if (document.activeElement === document.body) focus();
  };
}

try { comeBack(); } catch { /* What was kept cannot be read: the list begins at its first page. */ }
watch();
new ResizeObserver(() => sections.resize()).observe(grid);
