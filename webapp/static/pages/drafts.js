// What is written into a form and not sent stays in this tab: a session that ends loses none of it, nor
// does a reload, nor a form that takes another one's place. It is kept for the person who wrote it.

const user = document.querySelector('meta[name="user"]')?.content ?? "";

/** Sign out takes all drafts along; see shell.js. */
const nameOf = (box) => `draft:${user}:${location.pathname}:${box.id}`;
const boxesOf = (part) => [...part.querySelectorAll("form[data-part] textarea[id]")];

function write(box) {
  try {
    if (box.value === box.defaultValue) sessionStorage.removeItem(nameOf(box));
    else sessionStorage.setItem(nameOf(box), JSON.stringify({ text: box.value, version: box.form.elements.version?.value }));
  } catch {
    // Full, or switched off: what is written stays in its box alone.
  }
}

/** Put what was written before into the boxes of a part of the page that has just come. */
export function restoreDrafts(part) {
  for (const box of boxesOf(part)) {
    let kept = null;
    try { kept = JSON.parse(sessionStorage.getItem(nameOf(box)) ?? "null"); } catch { /* Nothing can be read. */ }
    if (!kept || kept.text === box.value) continue;
    box.value = kept.text;
    // It was written over that version: what changed since is not overwritten unseen.
    if (kept.version) box.form.elements.version.value = kept.version;
    const closed = box.closest("details:not([open])");
    if (closed) closed.open = true;
  }
}

/** Forget what a form has sent. */
export function forgetDrafts(form) {
  try {
    for (const box of boxesOf(form.parentNode)) if (box.form === form) sessionStorage.removeItem(nameOf(box));
  } catch { /* Nothing is kept. */ }
}

document.addEventListener("input", (event) => { if (event.target.matches("form[data-part] textarea[id]")) write(event.target); });
