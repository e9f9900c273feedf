// What every page has: calls to this server, notices, and the keys that work everywhere.

const html = globalThis.trustedTypes
  ? trustedTypes.createPolicy("mirada", { createHTML: (text) => text })
  : { createHTML: (text) => text };

/** Turn a fragment that this server rendered, and escaped, into nodes. */
export function nodesOf(text) {
  const template = document.createElement("template");
  template.innerHTML = html.createHTML(text);
  return template.content;
}

/** A refusal or failure of a call, with the sentence that the server said of it. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || `${status}`);
    this.status = status;
    this.problem = problem;
  }
}

/** Call an operation of this server; throws Refused, or TypeError where nothing answers. */
export async function call(method, address, sent = {}) {
  try {
    return await callOnce(method, address, sent);
  } catch (error) {
    // Whoever signed in again in another tab has another token; what they do here still counts.
    if (error.problem?.code !== "csrf_failed" || !(await renewToken())) throw error;
    return callOnce(method, address, sent);
  }
}

async function callOnce(method, address, { json, body, signal, keepalive }) {
  const headers = { Accept: "application/json, text/html;q=0.9" };
  const token = document.querySelector('meta[name="csrf-token"]')?.content;
  if (token && method !== "GET") headers["X-CSRF-Token"] = token;
  if (json !== undefined) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(json);
  }
  const reply = await fetch(address, { method, headers, body, signal, keepalive, credentials: "same-origin" });
  const isJson = (reply.headers.get("Content-Type") || "").includes("json");
  // A form that is refused may come back as HTML, with what was typed in it.
  if (!reply.ok) throw new Refused(reply.status, isJson ? await reply.json() : { html: await reply.text() });
  if (reply.status === 204) return null;
  return isJson ? reply.json() : reply.text();
}

/** Take the session's token of now; false where it is another person's, or there is none. */
async function renewToken() {
  const meta = document.querySelector('meta[name="csrf-token"]');
  if (!meta) return false;
  const session = await callOnce("GET", meta.dataset.from, {});
  const user = document.querySelector('meta[name="user"]')?.content;
  if (!session.csrf_token || `${session.user?.id}` !== user) return false;
  meta.content = session.csrf_token;
  return true;
}

/** A fragment of a page, as nodes: its list, or another part of that name. */
export async function fragment(address, { signal, part = "1" } = {}) {
  const asked = new URL(address, location.href);
  asked.searchParams.set("part", part);
  return nodesOf(await call("GET", asked, { signal }));
}

/** What to tell of an error: the server's own sentence, else the text that says that it does not answer. */
export function reasonOf(error, otherwise = "offline") {
  return (error instanceof Refused && error.problem.detail) || told(otherwise);
}

const notices = document.getElementById("notices");

/** Say something in passing; `action` is {text, run} for a button beside it. */
export function say(text, action) {
  const line = document.createElement("p");
  line.textContent = text;
  if (action) {
    const button = document.createElement("button");
    button.className = "button";
    button.textContent = action.text;
    button.addEventListener("click", () => { line.remove(); action.run(); });
    line.append(" ", button);
  }
  notices.replaceChildren(line);
  setTimeout(() => line.remove(), action ? 10000 : 5000);
}

/** Take back what was said in passing. */
export const unsay = () => notices.replaceChildren();

const written = (value) => (typeof value === "number" ? value.toLocaleString(document.documentElement.lang) : value);

/** Text for scripts, which templates hold as <template id="t-NAME">; numbers as the language writes them. */
export function told(name, values = {}) {
  const text = document.getElementById(`t-${name}`)?.content.textContent ?? name;
  return text.replace(/\{(\w+)\}/g, (whole, key) => written(values[key]) ?? whole);
}

/** Whether a key was pressed where nobody writes, and without a modifier. */
export function isPlainKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return false;
  return !event.target.closest("input, textarea, select, [contenteditable]");
}

document.addEventListener("keydown", (event) => {
  if (!isPlainKey(event) || event.key !== "/") return;
  const box = document.getElementById("q");
  if (!box) return;
  event.preventDefault();
  box.focus();
  box.select();
});

// The server says times as this browser's clock does, from the next page on.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "";
if (zone && !document.cookie.split("; ").includes(`mirada_zone=${zone}`)) {
  const path = document.querySelector(".brand").pathname.replace(/\/ui$/, "") || "/";
  document.cookie = `mirada_zone=${zone}; path=${path}; max-age=31536000; samesite=lax`;
}

// A picture that cannot be had: its place stays calm and says which one it is, and asks once more.
const AGAIN_MS = 5000;

function lost(picture) {
  picture.classList.add("lost");
  const place = picture.closest(".tile > a, .stage figure");
  if (place && !place.querySelector(".lost-name")) {
    const name = document.createElement("span");
    name.className = "lost-name";
    name.dir = "auto";
    name.ariaHidden = "true";
    name.textContent = picture.alt;
    place.append(name);
  }
  if (picture.dataset.asked) return;
  picture.dataset.asked = "again";
  setTimeout(() => { if (picture.isConnected) picture.src = picture.getAttribute("src"); }, AGAIN_MS * (1 + Math.random()));
}

document.addEventListener("error", ({ target }) => { if (target instanceof HTMLImageElement) lost(target); }, true);
document.addEventListener("load", ({ target }) => {
  if (!(target instanceof HTMLImageElement) || !target.classList.contains("lost")) return;
  target.classList.remove("lost");
  target.closest(".tile > a, .stage figure")?.querySelector(".lost-name")?.remove();
}, true);
for (const one of document.images) if (one.complete && one.getAttribute("src") && !one.naturalWidth) lost(one);

// Suggestions come with the first use of the box, so that no page waits for them.
const suggest = () => import("./suggest.js");
document.getElementById("q")?.addEventListener("focus", suggest, { once: true });
document.getElementById("q")?.addEventListener("click", async () => (await suggest()).clicked());
if (document.activeElement?.id === "q") suggest();

// Who signs out leaves nothing in this tab: no draft, no place in a list.
document.getElementById("sign-out")?.addEventListener("submit", () => sessionStorage.clear());

// A tile that is opened grows into its picture's page; between other pages nothing moves.
addEventListener("pageswap", (event) => {
  if (!event.viewTransition) return;
  for (const named of document.querySelectorAll(".tile img[style]")) named.style.viewTransitionName = "";
  const to = event.activation?.entry?.url;
  const link = [...document.querySelectorAll(".tile > a")].find((one) => one.href === to);
  if (!link) return event.viewTransition.skipTransition();
  document.querySelector(".stage img")?.style.setProperty("view-transition-name", "none");
  link.querySelector("img").style.viewTransitionName = "picture";
});
