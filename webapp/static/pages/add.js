// Add: the queue of pictures. It looks which are here already, sends the others three at a time, and
// goes on after a reload. What is kept of each, and where, is in queue.js.

import { call, say, told } from "./shell.js";
import { all, enqueue, filesOf, forget, isPicture, keep, onChange, owner } from "./queue.js";

const AT_ONCE = 3, LOOKED_AT = 8, MOST_TRIES = 3, TOLD_EVERY_MS = 1000, KEPT_AT_ONCE = 50;
const ADDED = ["understood", "done", "odd", "gone"], FINISHED = [...ADDED, "here", "refused"], PENDING = ["waiting", "hashing", "sending"];
const form = document.getElementById("add"), list = document.getElementById("queue"), work = document.getElementById("work");
const pause = document.getElementById("pause"), visibility = document.getElementById("visibility"), prompt = document.getElementById("prompt");
const { images, events, page, mostBytes } = form.dataset;
const entries = new Map(), rows = new Map(), sending = new Map();
let isMine = false, isLooking = false, isAway = false, waitsUntil = 0, timer = 0;

const waiting = () => [...entries.values()].filter((one) => one.state === "waiting");
const isHeld = () => isAway || !isMine || pause.getAttribute("aria-pressed") === "true";
// On https and localhost alone; elsewhere the server tells by the bytes that were sent.
const canHash = Boolean(globalThis.crypto?.subtle);

// What is seen.

function draw(one) {
  // It was taken out while something was done with it.
  if (!entries.has(one.id)) return;
  let row = rows.get(one.id);
  if (!row) {
    row = document.getElementById("row").content.firstElementChild.cloneNode(true);
    row.dataset.id = one.id;
    row.querySelector(".name").textContent = one.name;
    row.querySelector(".remove span").textContent = told("remove", { name: one.name });
    for (const span of row.querySelectorAll(".open span, .again span")) span.textContent = ` ${one.name}`;
    const shown = row.querySelector(".shown");
    shown.addEventListener("error", () => {
      const place = document.createElement("span");
      place.className = "shown";
      shown.replaceWith(place);
    });
    if (one.file) shown.src = URL.createObjectURL(one.file);
    else if (one.imageId) shown.src = `${images}/${one.imageId}/thumbnail?size=320`;
    rows.set(one.id, row);
    list.append(row);
  }
  row.dataset.state = one.state;
  row.classList.toggle("no", one.state === "refused" || one.state === "failed");
  const percent = Math.floor((100 * (one.sent ?? 0)) / (one.size || 1));
  const text = told(one.state, { percent: `${Math.min(percent, 99)} %`, reason: one.reason ?? "" });
  const state = row.querySelector(".state");
  if (state.textContent !== text) state.textContent = text;
  hide(row.querySelector(".again"), one.state !== "failed");
  const open = row.querySelector(".open");
  open.hidden = !one.imageId || one.state === "gone";
  if (one.imageId) open.href = page + one.imageId;
  tellLater();
}

/** Whoever uses the keyboard stays in the queue; once it is empty, where files are chosen. */
const stay = (row) => (row?.querySelector(".remove") ?? list.querySelector(".remove") ?? document.getElementById("files")).focus();

/** Hide a part; the focus does not go with it. */
function hide(node, isHidden) {
  const hadFocus = isHidden && !node.hidden && node.contains(document.activeElement);
  node.hidden = isHidden;
  if (hadFocus) stay(node.closest(".entry"));
}

function tellLater() { timer ||= setTimeout(tell, rows.size === entries.size && !sending.size ? 0 : TOLD_EVERY_MS); }

function tell() {
  timer = 0;
  const counts = {};
  let bytes = 0, sent = 0;
  for (const one of entries.values()) {
    counts[one.state] = (counts[one.state] ?? 0) + 1;
    bytes += one.size;
    sent += FINISHED.includes(one.state) ? one.size : Math.min(one.sent ?? 0, one.size);
  }
  hide(work, !entries.size);
  const done = ADDED.reduce((sum, state) => sum + (counts[state] ?? 0), 0);
  const parts = [told("some", { done, all: entries.size })];
  for (const state of ["here", "refused", "failed"]) if (counts[state]) parts.push(told(`some-${state}`, { n: counts[state] }));
  if (waitsUntil > Date.now() && counts.waiting) parts.push(told("busy"));
  const text = parts.join(", "), totals = document.getElementById("totals");
  if (totals.textContent !== text) totals.textContent = text;
  document.getElementById("bar").value = bytes ? sent / bytes : 0;
  const isPending = PENDING.some((state) => counts[state]);
  hide(pause, !isPending);
  document.getElementById("leave").hidden = !isPending;
  hide(document.getElementById("retry"), !counts.failed);
  hide(document.getElementById("clear"), !FINISHED.some((state) => counts[state]));
  document.getElementById("away").hidden = !isAway;
}

// What is done. `hashing` and `sending` are of this page alone: the store has `waiting` meanwhile.

function set(one, state, more = {}) {
  Object.assign(one, more, { state });
  draw(one);
}

async function end(one, state, more = {}) {
  // A browser that cannot write has the row on the page still.
  if (FINISHED.includes(state)) delete one.file;
  delete one.sent;
  set(one, state, more);
  if (entries.has(one.id)) await keep(one).catch(() => {});
}

function pump() {
  if (isHeld()) return;
  const wait = waitsUntil - Date.now();
  if (wait > 0) { setTimeout(pump, wait + 50); return; }
  for (const one of waiting()) if (one.size > Number(mostBytes)) end(one, "refused", { reason: told("too-large") });
  if (canHash) look();
  for (const one of waiting()) {
    if (sending.size >= AT_ONCE) return;
    if (one.isLooked || !canHash) send(one);
  }
}

async function look() {
  const some = waiting().filter((one) => !one.isLooked).slice(0, LOOKED_AT);
  if (isLooking || !some.length) return;
  isLooking = true;
  try {
    for (const one of some) {
      set(one, "hashing");
      one.sha256 ??= await hashOf(one).catch(() => null);
      if (!one.sha256) await end(one, "refused", { reason: told("unreadable") });
    }
    const asked = some.filter((one) => one.sha256);
    const { known } = asked.length ? await call("POST", `${images}/known`, { json: { sha256: asked.map((one) => one.sha256) } }) : {};
    for (const one of asked) {
      const found = known[one.sha256];
      one.isLooked = true;
      if (found) await end(one, "here", { imageId: found.image_id });
    }
  } catch (error) {
    for (const one of some) if (one.state === "hashing") held(one, error.status ?? 0, error.problem ?? {}, null);
  } finally {
    for (const one of some) if (one.state === "hashing") set(one, "waiting");
    isLooking = false;
    pump();
  }
}

async function hashOf(one) {
  const sum = await crypto.subtle.digest("SHA-256", await one.file.arrayBuffer());
  return Array.from(new Uint8Array(sum), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function send(one) {
  const body = new FormData(), request = new XMLHttpRequest();
  // Browsers go by the name's ending, and people rename files: the bytes say what they are.
  body.append("file", new Blob([one.file], { type: "application/octet-stream" }), one.name);
  body.append("is_public", one.isPublic);
  if (one.prompt) body.append("prompt", one.prompt);
  request.open("POST", `${images}?on_duplicate=return`);
  request.responseType = "json";
  request.setRequestHeader("Accept", "application/json");
  request.setRequestHeader("Idempotency-Key", one.key);
  const token = document.querySelector('meta[name="csrf-token"]')?.content;
  if (token) request.setRequestHeader("X-CSRF-Token", token);
  request.upload.onprogress = (event) => { if (sending.has(one.id)) set(one, "sending", { sent: event.loaded }); };
  request.onloadend = async () => {
    if (!sending.delete(one.id)) return;
    const image = request.response ?? {};
    if (request.status === 200) await end(one, "here", { imageId: image.id });
    else if (request.status === 201) await end(one, stateOf(image.status), { imageId: image.id });
    else held(one, request.status, image, request.getResponseHeader("Retry-After"));
    listen();
    pump();
  };
  sending.set(one.id, request);
  set(one, "sending", { sent: 0 });
  request.send(body);
}

/** Go on from a refusal or failure: ask to sign in, wait, give up, or tell the reason. */
function held(one, status, problem, retryAfter) {
  const reason = problem.detail || told("offline");
  delete one.sent;
  if (status === 401 || problem.code === "csrf_failed") { isAway = true; set(one, "waiting"); return; }
  if (status === 429 || status === 503) {
    waitsUntil = Math.max(waitsUntil, Date.now() + 1000 * (Number(retryAfter) || 5));
    set(one, "waiting");
    return;
  }
  // 409: the request before, of a page that was left, is still being answered.
  if (status === 0 || status === 409 || status >= 500) {
    one.tries = (one.tries ?? 0) + 1;
    if (one.tries > MOST_TRIES) { end(one, "failed", { reason }); return; }
    waitsUntil = Math.max(waitsUntil, Date.now() + 500 * 2 ** one.tries);
    set(one, "waiting");
    return;
  }
  end(one, "refused", { reason });
}

// What the server makes of it: told by a stream, which is open while something is to be heard.

const stateOf = (status) => ({ READY: "done", FAILED: "odd" })[status] ?? "understood";
const understood = () => [...entries.values()].filter((one) => one.state === "understood");
let stream = null;

function listen() {
  if (!understood().length) { stream?.close(); stream = null; return; }
  if (stream) return;
  stream = new EventSource(events);
  stream.addEventListener("open", compare);
  stream.addEventListener("image", (event) => {
    const told = JSON.parse(event.data);
    for (const one of understood()) if (one.imageId === told.id) hear(one, told.gone ? null : told.status);
  });
  stream.addEventListener("error", () => {
    if (stream?.readyState !== EventSource.CLOSED) return;
    // No room for a stream just now: it is asked instead, and tried again.
    stream = null;
    compare();
    setTimeout(listen, 10000);
  });
}

async function compare() {
  for (const one of understood()) {
    try {
      await hear(one, (await call("GET", `${images}/${one.imageId}`)).status);
    } catch (error) {
      if (error.status !== 404) return;
      await hear(one, null);
    }
  }
}

async function hear(one, status) {
  const state = status === null ? "gone" : stateOf(status);
  if (state !== one.state) await end(one, state);
  listen();
}

// What people do.

async function add(files) {
  const chosen = [...files];
  localStorage.setItem("mirada-visibility", visibility.value);
  try {
    for (let from = 0; from < chosen.length; from += KEPT_AT_ONCE) {
      const added = await enqueue(chosen.slice(from, from + KEPT_AT_ONCE), { isPublic: visibility.value === "true", prompt: prompt.value.trim() });
      for (const one of added) { entries.set(one.id, one); draw(one); }
      pump();
    }
  } catch {
    say(told("full"));
  }
}

async function take(ids) {
  for (const id of ids) {
    const request = sending.get(id);
    sending.delete(id);
    request?.abort();
    const shown = rows.get(id)?.querySelector(".shown");
    if (shown?.src?.startsWith("blob:")) URL.revokeObjectURL(shown.src);
    rows.get(id)?.remove();
    rows.delete(id);
    entries.delete(id);
  }
  tellLater();
  await forget(ids).catch(() => {});
  pump();
}

async function retry(some) {
  for (const one of some) {
    // A new key: whatever the one before stands for, the same bytes are not added twice.
    one.key = `${one.key.slice(0, 32)}-${Date.now()}`;
    await end(one, "waiting", { tries: 0, reason: "" });
  }
  waitsUntil = 0;
  pump();
}

for (const input of [document.getElementById("files"), document.getElementById("folder")]) {
  input.addEventListener("change", async () => {
    const files = [...input.files].filter((file) => !input.webkitdirectory || isPicture(file));
    await add(files);
    input.value = "";
  });
}

pause.addEventListener("click", () => {
  const isPaused = pause.getAttribute("aria-pressed") !== "true";
  pause.setAttribute("aria-pressed", String(isPaused));
  pump();
});
document.getElementById("retry").addEventListener("click", () => retry([...entries.values()].filter((one) => one.state === "failed")));
document.getElementById("clear").addEventListener("click", () => {
  take([...entries.values()].filter((one) => FINISHED.includes(one.state)).map((one) => one.id));
  stay();
});
list.addEventListener("click", (event) => {
  const row = event.target.closest(".entry"), button = event.target.closest("button");
  if (!row || !button) return;
  const one = entries.get(Number(row.dataset.id));
  if (button.matches(".again")) retry([one]);
  if (!button.matches(".remove")) return;
  const beside = row.nextElementSibling ?? row.previousElementSibling;
  take([one.id]);
  stay(beside);
});

const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
let depth = 0;
addEventListener("dragenter", (event) => { if (hasFiles(event)) { depth += 1; document.body.classList.add("dropping"); } });
addEventListener("dragleave", (event) => { if (hasFiles(event) && --depth <= 0) stopDropping(); });
addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); });
addEventListener("drop", async (event) => {
  stopDropping();
  if (!hasFiles(event)) return;
  event.preventDefault();
  add(await filesOf(event.dataTransfer));
});
function stopDropping() { depth = 0; document.body.classList.remove("dropping"); }
addEventListener("paste", (event) => { if (event.clipboardData?.files.length) add(event.clipboardData.files); });
addEventListener("online", () => { waitsUntil = 0; pump(); });
addEventListener("beforeunload", (event) => { if (sending.size) event.preventDefault(); });

/** Take over what another tab has put in, taken out or finished. */
async function sync() {
  const kept = new Map((await all()).map((one) => [one.id, one]));
  for (const id of [...entries.keys()]) if (!kept.has(id)) await take([id]);
  for (const [id, one] of kept) {
    const here = entries.get(id);
    if (here && ["hashing", "sending"].includes(here.state)) continue;
    if (here) Object.assign(here, one);
    else entries.set(id, one);
    draw(here ?? one);
  }
  listen();
  pump();
}

visibility.value = localStorage.getItem("mirada-visibility") ?? visibility.value;
onChange(sync);
await sync().catch(() => {});
// One tab sends; the next one takes over when it is closed.
const begin = () => { isMine = true; sync().catch(() => {}); return new Promise(() => {}); };
if (navigator.locks) navigator.locks.request(`mirada-queue-${owner}`, begin);
else begin();
