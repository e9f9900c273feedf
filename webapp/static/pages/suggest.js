// Suggestions below the search box: a listbox that arrows or a pointer choose from. Loaded when the box is used.

import { call, told } from "./shell.js";

const PAUSE_MS = 100, LONGEST = 150;
const box = document.getElementById("q"), form = box.form;
const list = document.createElement("ul"), count = document.createElement("span");
let asking = null, pause = 0, shown = [], active = -1;

list.id = "suggestions";
list.className = "suggestions";
list.hidden = true;
list.setAttribute("role", "listbox");
list.setAttribute("aria-label", told("suggestions"));
count.className = "unseen";
count.setAttribute("role", "status");
form.append(list, count);
box.setAttribute("role", "combobox");
box.setAttribute("aria-autocomplete", "list");
box.setAttribute("aria-controls", list.id);
box.setAttribute("aria-expanded", "false");

/** Show what there is to try, where nothing is typed yet. */
export function clicked() {
  if (list.hidden && !box.value) ask();
}

/** Ask for what the text of now may be going to be; an answer to an older text is never shown. */
async function ask() {
  close();
  const text = box.value;
  if (text.length > LONGEST) return;
  const address = new URL(box.dataset.suggestions, location.href);
  address.search = new URLSearchParams({ q: text, language: document.documentElement.lang });
  const mine = (asking = new AbortController());
  try {
    const found = await call("GET", address, { signal: mine.signal });
    if (asking === mine) show(found.results);
  } catch {
    // Suggestions are a help; without them one types on.
  }
}

function show(results) {
  if (document.activeElement !== box) return;
  shown = results;
  list.replaceChildren(...results.map(option));
  list.hidden = !results.length;
  box.setAttribute("aria-expanded", String(!list.hidden));
  mark(-1);
  count.textContent = results.length === 1 ? told("suggested-one") : results.length ? told("suggested", { n: results.length }) : "";
}

function option({ kind, text }, at) {
  const line = document.createElement("li"), words = document.createElement("span"), source = document.createElement("span");
  line.id = `suggestion-${at}`;
  line.setAttribute("role", "option");
  words.dir = "auto";
  words.textContent = text;
  source.className = "soft";
  source.textContent = told(`kind-${kind}`);
  line.append(words, " ", source);
  if (kind === "recent") {
    // The key Delete does the same; an option may hold no button.
    const cross = document.getElementById("erase-recent").content.cloneNode(true).firstElementChild;
    line.append(cross);
  }
  return line;
}

function close() {
  clearTimeout(pause);
  asking?.abort();
  asking = null;
  shown = [];
  list.hidden = true;
  list.replaceChildren();
  count.textContent = "";
  box.setAttribute("aria-expanded", "false");
  mark(-1);
}

function mark(at) {
  active = at;
  for (const [place, line] of [...list.children].entries()) line.setAttribute("aria-selected", String(place === at));
  if (at < 0) return box.removeAttribute("aria-activedescendant");
  box.setAttribute("aria-activedescendant", list.children[at].id);
  list.children[at].scrollIntoView({ block: "nearest" });
}

function choose({ kind, text, id }) {
  close();
  if (kind === "owner") {
    const address = new URL(box.dataset.explore, location.href);
    address.searchParams.set("owner", id);
    return location.assign(address);
  }
  box.value = text;
  form.requestSubmit();
}

async function erase({ id }) {
  try {
    await call("DELETE", `${box.dataset.recent}/${id}`);
  } catch {
    // It is gone already, or stays until it is tried again.
  }
  ask();
}

// Before the page's own keys: arrow down from the box leads to the pictures where no list is open.
form.addEventListener("keydown", (event) => {
  if (event.target !== box || event.isComposing) return;
  const { key } = event;
  if (list.hidden) {
    if (key === "ArrowDown" && event.altKey) { event.preventDefault(); event.stopPropagation(); ask(); }
    return;
  }
  const last = shown.length - 1;
  if (key === "ArrowDown" && active < last) mark(active + 1);
  else if (key === "ArrowUp") mark(active < 0 ? last : active - 1);
  else if (key === "Enter" && active >= 0) choose(shown[active]);
  else if (key === "Escape") close();
  else if (key === "Delete" && shown[active]?.kind === "recent") erase(shown[active]);
  else {
    // Past the last one the page goes on, such as to its pictures.
    if (key === "ArrowDown") close();
    return;
  }
  event.preventDefault();
  event.stopPropagation();
}, { capture: true });

box.addEventListener("input", () => {
  close();
  pause = setTimeout(ask, PAUSE_MS);
});
box.addEventListener("blur", close);
list.addEventListener("pointerdown", (event) => event.preventDefault());
list.addEventListener("click", (event) => {
  const at = [...list.children].indexOf(event.target.closest("li"));
  if (at < 0) return;
  if (event.target.closest(".erase")) erase(shown[at]);
  else choose(shown[at]);
});

// What somebody has finished typing is remembered, for them alone.
form.addEventListener("submit", () => {
  const words = box.value.trim();
  close();
  if (!box.dataset.recent || !words || words.length > LONGEST) return;
  call("POST", box.dataset.recent, { json: { words }, keepalive: true }).catch(() => {});
});

// What was typed while this was loaded.
if (document.activeElement === box && box.value !== box.defaultValue) ask();
