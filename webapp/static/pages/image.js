// Image: forms that answer in their place, keys, and the way back to the list.

import { call, isPlainKey, nodesOf, reasonOf, Refused, say, told } from "./shell.js";
import { forgetDrafts, restoreDrafts } from "./drafts.js";
import { justifyAll, rove } from "./grid.js";

const AGAIN_MS = 2000, MOST_LOOKS = 10;
const WRITTEN_IN = "textarea, .add-tag input[id]";
const related = () => document.getElementById("related");

// What a form or a link with data-part answers is one section of this page, which takes its place.
async function replace(source, method, address, body) {
  const name = source.dataset.part;
  const asked = new URL(address, location.href);
  asked.hash = "";
  asked.searchParams.set("part", "1");
  asked.searchParams.set("section", name);
  source.setAttribute("aria-busy", "true");
  try {
    const nodes = nodesOf(await call(method, asked, { body }));
    if (method === "POST") forgetDrafts(source);
    const before = versionIn(name);
    put(name, nodes, source);
    goOn(before, versionIn(name));
  } catch (error) {
    // A form that was refused comes back with what was typed, and with the reason.
    const nodes = error instanceof Refused && error.problem.html ? nodesOf(error.problem.html) : null;
    if (nodes?.getElementById(name)) put(name, nodes, source);
    else tell(source, error);
  } finally {
    source.removeAttribute("aria-busy");
  }
}

const versionIn = (name) => document.querySelector(`#${name} input[name="version"]`)?.value;

/** What this page has changed itself is no surprise to its other forms. */
function goOn(before, after) {
  if (!before || !after) return;
  for (const one of document.querySelectorAll('input[name="version"]')) if (one.value === before) one.value = after;
}

/** Say why nothing came of a form: beside what was typed, if anything was. */
function tell(form, error) {
  const isOut = error instanceof Refused && error.status === 401;
  const text = reasonOf(error);
  const box = form.querySelector(WRITTEN_IN);
  if (!box) return isOut ? say(told("signed-out"), { text: told("sign-in"), run: signIn }) : say(text);
  const line = form.querySelector(".error") ?? document.createElement("p");
  line.className = "error";
  line.setAttribute("role", "alert");
  line.textContent = isOut ? told("signed-out") : text;
  if (isOut) {
    const link = document.createElement("a");
    link.href = signInAddress;
    link.target = "_blank";
    link.textContent = told("sign-in");
    line.append(" ", link);
  }
  box.after(line);
}

const signInAddress = document.querySelector("article.image").dataset.signIn;

function signIn() {
  open(signInAddress, "_blank", "noopener");
}

function put(name, nodes, source) {
  const old = document.getElementById(name);
  // What was open beside it stays open; a form that was sent is done with.
  const open = [...old.querySelectorAll("details[open]")].filter((one) => !one.contains(source)).map((one) => one.className);
  const where = old.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  old.replaceWith(nodes);
  const fresh = document.getElementById(name);
  for (const one of fresh.querySelectorAll("details")) if (open.includes(one.className)) one.open = true;
  prepare(fresh);
  if (!where) return;
  // What was asked for is reached at once, marked to be copied.
  const reach = fresh.querySelector("[data-reach]");
  if (reach) { reach.focus(); reach.select(); return; }
  // Whoever works by keys stays where they were.
  const same = [...fresh.querySelectorAll(`a, button, summary, ${WRITTEN_IN}`)].find((one) => nameOf(one) === where);
  const refused = fresh.querySelector("[role=alert]")?.closest("form")?.querySelector(WRITTEN_IN);
  (refused ?? same ?? fresh.querySelector(`summary, ${WRITTEN_IN}, button, a`))?.focus({ preventScroll: !refused });
}

/** What a control is called in every state of its section. */
function nameOf(node) {
  return node.id || [node.dataset.label, node.dataset.say, node.name, node.tagName, node.textContent].join("|");
}

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-part]");
  if (!form) return;
  event.preventDefault();
  if (form.hasAttribute("aria-busy")) return;
  replace(form, "POST", form.action, new URLSearchParams(new FormData(form, event.submitter)));
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-part]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    replace(link, "GET", link.href);
  }
  const copying = event.target.closest("[data-copy]");
  if (copying) copy(document.getElementById(copying.dataset.copy));
});

async function copy(node) {
  try {
    await navigator.clipboard.writeText(node.value ?? node.textContent);
    say(told("copied"));
  } catch {
    // Not on https: at least it is marked, for the keys that copy.
    node.select?.();
    say(told("not-copied"));
  }
}

// What is still being looked at is asked for again, for a while.
let looks = 0;

function prepare(node) {
  restoreDrafts(node);
  node.querySelectorAll("[data-copy]").forEach((one) => { one.hidden = false; });
  if (node.matches("[data-again]") && looks < MOST_LOOKS) {
    looks += 1;
    setTimeout(() => document.querySelector('#labels[data-again] a[data-part="labels"]')?.click(), AGAIN_MS);
  }
  if (node.matches("[data-grid]")) {
    justifyAll(node);
    rove(node);
  }
}

document.querySelectorAll("section").forEach(prepare);
new ResizeObserver(() => justifyAll(related())).observe(document.querySelector("article.image"));

function back() {
  const link = document.getElementById("back");
  const came = document.referrer ? new URL(document.referrer) : null;
  const list = new URL(link.href);
  // The list itself is better than the same list made again: it is where it was left.
  if (came?.origin === list.origin && came.pathname === list.pathname && history.length > 1) history.back();
  else link.click();
}

document.addEventListener("keydown", (event) => {
  if (!isPlainKey(event)) return;
  const press = (selector) => document.querySelector(selector)?.click();
  const judge = (key) => {
    const button = document.querySelector(`.bars li:first-child [data-say="${key}"]`);
    // A second press would take it back.
    if (button?.getAttribute("aria-pressed") === "false") button.click();
  };
  const does = {
    "[": () => press("#previous"),
    "]": () => press("#following"),
    Escape: back,
    l: () => press("#like"),
    p: () => press("#visibility"),
    y: () => judge("y"),
    n: () => judge("n"),
  }[event.key];
  if (!does) return;
  event.preventDefault();
  does();
});
