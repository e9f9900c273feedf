// Activity and Index: bars move and lists change while the page is open, by one stream of events.
import { call, fragment, reasonOf, say, told, Refused } from "./shell.js";

const POLL_MS = 5000;
const STREAM_AGAIN_MS = 60000;
const LEAST_BETWEEN_MS = 1000;
const language = document.documentElement.lang;
const numbers = new Intl.NumberFormat(language);
const work = document.getElementById("work");
const sentence = document.getElementById("told");
const away = document.getElementById("away");
const kind = work.dataset.kind;
let since = work.dataset.since;
let source = null;
let refreshing = null;
let isWanted = false;
let refreshedAt = 0;
let poll = 0;
let asking = 0;
let isStale = false;
let shownAt = Date.now();
/** Jobs of which this page shows nothing, by their ids. */
const others = new Set();

/** A time as people say it. */
function duration(seconds) {
  const inMinutes = seconds >= 120;
  const unit = inMinutes ? "minute" : "second";
  const value = Math.max(1, Math.round(inMinutes ? seconds / 60 : seconds));
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long" }).format(value);
}

/** Put what the server says now into the page; what has the focus keeps it. */
async function refresh() {
  if (refreshing) {
    isWanted = true;
    return refreshing;
  }
  isWanted = false;
  refreshing = (async () => {
    const wait = refreshedAt + LEAST_BETWEEN_MS - Date.now();
    if (wait > 0) await new Promise((done) => setTimeout(done, wait));
    try {
      show(await fragment(location.href));
    } catch (error) {
      if (error instanceof Refused && error.status === 401) location.reload();
      // The next event, or the next question, asks again.
      else tellStale(error);
    }
    refreshedAt = Date.now();
    refreshing = null;
    askAgain();
    if (isWanted) refresh();
  })();
  return refreshing;
}

/** Say that what is seen grows old, since when, and why. */
function tellStale(error) {
  isStale = true;
  const time = new Date(shownAt).toLocaleTimeString(language, { timeStyle: "short" });
  const text = told("stale", { why: reasonOf(error, "away"), time });
  if (sentence.textContent !== text) sentence.textContent = text;
}

function show(nodes) {
  isStale = false;
  shownAt = Date.now();
  const part = nodes.getElementById("part-told");
  if (part) {
    since = part.dataset.since;
    const text = part.content.textContent;
    if (sentence && sentence.textContent.trim() !== text.trim()) sentence.replaceChildren(part.content);
    if (away) away.hidden = part.dataset.alive === "1";
  }
  const hadFocus = work.contains(document.activeElement) ? document.activeElement.id : null;
  const open = [...work.querySelectorAll("details[open]")].map((one) => one.id);
  work.replaceChildren(nodes);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (hadFocus === null) return;
  (document.getElementById(hadFocus) ?? work).focus({ preventScroll: true });
}

/** Move a row's bar; true where nothing else has changed. */
function move(row, job) {
  if (row.dataset.state !== "running" || (job.state && job.state !== "running")) return false;
  const bar = row.querySelector("progress");
  if (job.total) bar.max = job.total;
  if (job.done !== undefined && bar.hasAttribute("max")) {
    bar.value = job.done;
    const values = { done: numbers.format(job.done), total: numbers.format(bar.max) };
    row.querySelector(".count").textContent = told("of", values);
  }
  if (job.eta_s !== undefined) {
    const left = job.eta_s === null ? "" : told("left", { time: duration(job.eta_s) });
    row.querySelector(".left").textContent = left;
  }
  return true;
}

function listen() {
  clearTimeout(poll);
  const address = `${work.dataset.events}?topics=${work.dataset.topics}&since=${since}`;
  source = new EventSource(address);
  source.addEventListener("job", (event) => {
    const job = JSON.parse(event.data);
    const row = document.getElementById(`job-${job.id}`);
    if (row && move(row, job)) return;
    if (row && job.state && job.state === row.dataset.state) return;
    if (kind && job.kind && job.kind !== kind) others.add(job.id);
    if (others.has(job.id)) return;
    refresh();
  });
  source.addEventListener("index", refresh);
  source.addEventListener("notice", refresh);
  let failures = 0;
  let isFirst = true;
  source.addEventListener("open", () => {
    failures = 0;
    // Each minute it begins anew: an import may have begun, which the stream does not tell.
    if (isStale || !isFirst) refresh();
    isFirst = false;
  });
  source.addEventListener("error", () => {
    // After its minute the browser comes back by itself, with the id of the last event. Refused, it does not.
    if (source?.readyState === EventSource.CLOSED) ask(Date.now() + STREAM_AGAIN_MS);
    // It does not come back: asking tells why.
    else if (++failures > 1) refresh();
  });
}

/** A process of the command line tells no stream how far it is: ask while one runs. */
function askAgain() {
  clearTimeout(asking);
  if (work.querySelector("[data-asks]") && !document.hidden) asking = setTimeout(refresh, POLL_MS);
}

/** Without a stream: ask now and then, and for a stream once a minute. */
function ask(streamAt) {
  stop();
  poll = setTimeout(async () => {
    await refresh();
    if (document.hidden) return;
    if (Date.now() >= streamAt) listen();
    else ask(streamAt);
  }, POLL_MS);
}

function stop() {
  clearTimeout(poll);
  clearTimeout(asking);
  source?.close();
  source = null;
}

// A page that nobody looks at holds no thread of the server.
document.addEventListener("visibilitychange", async () => {
  if (document.hidden) return stop();
  await refresh();
  if (!document.hidden && !source) listen();
});
addEventListener("pagehide", stop);
addEventListener("pageshow", (event) => {
  if (event.persisted && !source) refresh().then(listen);
});

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!work.contains(form)) return;
  event.preventDefault();
  // A button that is disabled would lose the focus.
  const button = form.querySelector("button");
  if (button.ariaDisabled === "true") return;
  button.ariaDisabled = "true";
  try {
    await call("POST", `${form.action}?part=1`, { body: new FormData(form) });
  } catch (error) {
    say(reasonOf(error));
  }
  await refresh();
  button.ariaDisabled = null;
});

if (!document.hidden) listen();
askAgain();
