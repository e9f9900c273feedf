// Pack: forms that answer in their place, and pictures that are moved by drag and by keys.

import { call, isPlainKey, nodesOf, reasonOf, Refused, say } from "./shell.js";

const pack = document.getElementById("pack");
let isBusy = false;

/** Send a form, and put what it answers into the page; `more` are fields beside its own. */
async function send(form, submitter, more = {}) {
  if (isBusy) return;
  isBusy = true;
  const address = new URL(form.action), body = new URLSearchParams(new FormData(form, submitter));
  address.searchParams.set("part", "1");
  for (const [name, value] of Object.entries(more)) body.set(name, value);
  form.setAttribute("aria-busy", "true");
  try {
    put(nodesOf(await call("POST", address, { body })), form);
  } catch (error) {
    // A form that was refused comes back with what was typed, and with the reason.
    const nodes = error instanceof Refused && error.problem.html ? nodesOf(error.problem.html) : null;
    if (nodes?.getElementById("told")) put(nodes, form);
    else say(reasonOf(error));
  } finally {
    isBusy = false;
    form.removeAttribute("aria-busy");
  }
}

/** Put parts of the page in the place of those of the same names; what is typed elsewhere stays. */
function put(nodes, form) {
  const typed = [...pack.querySelectorAll("input[id], textarea[id], select[id]")].filter((one) => one.form !== form && isTyped(one));
  const open = [...pack.querySelectorAll("details[open][id]")].filter((one) => !one.contains(form)).map((one) => one.id);
  const where = document.activeElement?.id;
  for (const part of [...nodes.children]) {
    const old = document.getElementById(part.id);
    // Screen readers say what comes into a line that is there.
    if (part.id === "told") old.replaceChildren(...part.childNodes);
    else if (old) old.replaceWith(part);
  }
  for (const one of typed) {
    const fresh = document.getElementById(one.id);
    if (fresh) fresh.value = one.value;
  }
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  const refused = pack.querySelector("[aria-invalid]");
  const again = refused ?? document.getElementById(where) ?? document.getElementById("undo") ?? pack.querySelector(".member a");
  if (where || refused) again?.focus({ preventScroll: !refused });
}

const isTyped = (one) => (one.options ? ![...one.options].every((each) => each.selected === each.defaultSelected) && one.selectedIndex > 0 : one.value !== one.defaultValue);

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-stay]");
  if (!form) return;
  event.preventDefault();
  if (event.submitter?.ariaDisabled !== "true") send(form, event.submitter);
});

// Keys on a picture: < and >, and the signs of the same keys where these need Shift.
const STEPS = { "<": "earlier", ",": "earlier", ">": "later", ".": "later" };

pack.addEventListener("keydown", (event) => {
  const member = event.target.closest("a.picture")?.closest(".member"), step = STEPS[event.key];
  if (!member || !step || !isPlainKey(event)) return;
  event.preventDefault();
  document.getElementById(`${step}-${member.dataset.id}`)?.click();
});

// One sheet at a time, and Escape closes it.
document.addEventListener("click", ({ target }) => {
  for (const one of pack.querySelectorAll(".more-of-it[open]")) if (!one.contains(target)) one.open = false;
});
pack.addEventListener("keydown", (event) => {
  const sheet = event.target.closest(".more-of-it[open]");
  if (event.key !== "Escape" || !sheet) return;
  sheet.open = false;
  sheet.querySelector("summary").focus();
});

// Drag: pictures and links can be dragged as they are.
let dragged = null;
const over = (event) => (dragged ? event.target.closest("#pictures .member") : null);
const isBehind = (event, member) => {
  const box = member.getBoundingClientRect();
  return event.clientX > box.left + box.width / 2;
};

function mark(member, isAfter) {
  for (const one of pack.querySelectorAll(".before, .after")) one.classList.remove("before", "after");
  member?.classList.add(isAfter ? "after" : "before");
}

pack.addEventListener("dragstart", (event) => {
  const member = event.target.closest("#pictures .member");
  if (!member?.querySelector(".more-of-it")) return;
  dragged = member;
  event.dataTransfer.effectAllowed = "move";
  member.classList.add("dragged");
});
pack.addEventListener("dragover", (event) => {
  const member = over(event);
  if (!member) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = "move";
  mark(member, isBehind(event, member));
});
pack.addEventListener("drop", (event) => {
  const member = over(event);
  if (!member) return;
  event.preventDefault();
  const from = Number(dragged.dataset.place);
  let to = Number(member.dataset.place) + (isBehind(event, member) ? 1 : 0);
  // What stands behind it moves up.
  if (to > from) to -= 1;
  if (to !== from) send(document.getElementById(`place-${dragged.dataset.id}`).form, null, { to });
});
pack.addEventListener("dragend", () => {
  dragged?.classList.remove("dragged");
  dragged = null;
  mark(null);
});
