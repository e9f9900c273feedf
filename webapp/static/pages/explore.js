// Explore: results while typing, and a list without end.

import { fragment, isPlainKey, say, told, Refused } from "./shell.js";
import { justifyAll, rove } from "./grid.js";

const grid = document.getElementById("grid");
const form = document.getElementById("search");
const box = document.getElementById("q");
const PAUSE_MS = 160, AHEAD_PX = 900;

justifyAll(grid);
const settle = rove(grid);
new ResizeObserver(() => justifyAll(grid)).observe(grid);

// A list without end: the link to the next page is followed when it comes near.
let loading = null;
const near = new IntersectionObserver((seen) => {
  for (const one of seen) if (one.isIntersecting) more(one.target.querySelector("a"));
}, { rootMargin: `${AHEAD_PX}px` });

async function more(link) {
  if (loading) return;
  const holder = link.closest(".more"), mine = (loading = new AbortController());
  try {
    const nodes = await fragment(link.href, { signal: mine.signal });
    holder.replaceWith(nodes);
    justifyAll(grid);
    settle();
  } catch (error) {
    // The link stays, and can be followed by hand.
    if (error.name !== "AbortError") say(error instanceof Refused ? error.message : told("offline"));
  } finally {
    if (loading === mine) loading = null;
    watch();
  }
}

function watch() {
  near.disconnect();
  const holder = grid.querySelector(".more");
  if (holder) near.observe(holder);
}
watch();

// Results while typing: the older request is cancelled, old results stay until new ones are there.
let asking = null, pause = 0;

function addressOfForm() {
  const address = new URL(form.action);
  for (const [name, value] of new FormData(form)) if (value) address.searchParams.append(name, value);
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
    const page = await fragment(address, { signal: mine.signal });
    const verdict = page.querySelector("#part-verdict");
    document.getElementById("verdict").replaceChildren(...(verdict ? verdict.content.childNodes : []));
    verdict?.remove();
    grid.replaceChildren(page);
    history[isEntered ? "pushState" : "replaceState"]({}, "", address);
    document.title = `${box.value.trim() || told("explore")} · Mirada`;
    justifyAll(grid);
    settle();
    watch();
  } catch (error) {
    if (error.name === "AbortError") return;
    say(error instanceof Refused ? error.message : told("offline"));
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
addEventListener("popstate", () => location.reload());

box.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown") {
    const first = grid.querySelector(".tile > a");
    if (first) { event.preventDefault(); first.focus(); }
  }
});
grid.addEventListener("keydown", (event) => {
  const tile = event.target.closest(".tile");
  if (!tile || !isPlainKey(event)) return;
  const act = { "+": "more", "-": "less" }[event.key];
  if (act) { event.preventDefault(); tile.querySelector(`[data-act="${act}"]`)?.click(); }
  if (event.key === "Escape") box.focus();
});
