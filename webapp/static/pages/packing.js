// The dialog that asks into which pack pictures go: one that is there, or a new one.

import { call, reasonOf } from "./shell.js";

const MOST_PAGES = 10;
const node = (id) => document.getElementById(id);

/** Ask for a pack of one's own that is filled by hand; {id, title}, or null where the dialog was closed. */
export async function choosePack() {
  const dialog = node("pack-dialog"), choice = node("pack-choice"), title = node("pack-new-title"), trouble = node("pack-trouble");
  const settle = () => {
    node("pack-new").hidden = Boolean(choice.value);
    title.required = !choice.value;
  };
  choice.onchange = settle;
  trouble.textContent = "";
  title.value = "";
  try {
    await fill(choice, dialog.dataset.packs);
  } catch (error) {
    // A new one can be made all the same, if the server answers by then.
    trouble.textContent = reasonOf(error);
  }
  settle();
  dialog.showModal();
  return new Promise((done) => {
    dialog.onclose = () => done(null);
    dialog.querySelector("form").onsubmit = async (event) => {
      if (!event.submitter?.value) return;
      event.preventDefault();
      trouble.textContent = "";
      try {
        const pack = choice.value
          ? { id: Number(choice.value), title: choice.selectedOptions[0].text }
          : await call("POST", dialog.dataset.packs, { json: { title: title.value } });
        done(pack);
        dialog.close();
      } catch (error) {
        trouble.textContent = reasonOf(error);
      }
    };
  });
}

async function fill(choice, address) {
  const found = [];
  let next = `${address}?mine=true&limit=100`;
  for (let page = 0; next && page < MOST_PAGES; page++) {
    const reply = await call("GET", next);
    found.push(...reply.results.filter((pack) => !pack.fills_itself));
    next = reply.next;
  }
  const was = choice.value;
  choice.replaceChildren(choice.options[0], ...found.map((pack) => new Option(pack.title, pack.id)));
  // The pack that was chosen last is asked for again.
  choice.value = [...choice.options].some((one) => one.value === was) ? was : "";
}
