// Pictures as queries: chosen, pasted or dropped, they are kept for a day and become a part of the address.

import { call, say, told, unsay } from "./shell.js";

/**
 * Take pictures from the file choice, the clipboard and what is dropped anywhere.
 *
 * @param addressNow returns the address of the search as it stands in the form.
 * @param trouble is called with what went wrong.
 * @param add is called with files for the library.
 */
export function askWithPictures({ addressNow, trouble, add }) {
  const form = document.getElementById("picture"), field = document.getElementById("picture-file");
  if (!form) return;

  async function find(file) {
    if (!file.type.startsWith("image/")) return say(told("no-picture"));
    say(told("sending"));
    const body = new FormData();
    // Browsers go by the name's ending, and people rename files: the bytes say what they are.
    body.append("file", new Blob([file], { type: "application/octet-stream" }), file.name || "picture");
    try {
      const kept = await call("POST", form.dataset.api, { body });
      const address = addressNow();
      address.searchParams.append("plus", `p${kept.id}`);
      location.assign(address);
    } catch (error) {
      unsay();
      trouble(error);
    } finally {
      field.value = "";
    }
  }

  field.addEventListener("change", () => { if (field.files[0]) find(field.files[0]); });

  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files].filter((file) => file.type.startsWith("image/"));
    // Copied from a page, a picture has a text beside it; written words are pasted as words.
    if (!files.length) return;
    event.preventDefault();
    if (files.length > 1) return say(told("one-alone"));
    find(files[0]);
  });

  const halves = document.getElementById("halves");
  const isOfFiles = (event) => event.dataTransfer?.types.includes("Files");
  let depth = 0;
  const show = (isShown) => {
    halves.hidden = !isShown;
    if (!isShown) { depth = 0; mark(null); }
  };
  const mark = (half) => halves.querySelectorAll("[data-half]").forEach((one) => one.classList.toggle("over", one === half));
  addEventListener("dragenter", (event) => {
    if (!isOfFiles(event)) return;
    event.preventDefault();
    depth += 1;
    const count = event.dataTransfer.items.length;
    halves.querySelector('[data-half="find"]').hidden = count > 1 && Boolean(halves.querySelector('[data-half="add"]'));
    show(true);
  });
  addEventListener("dragleave", (event) => { if (isOfFiles(event) && --depth <= 0) show(false); });
  addEventListener("dragover", (event) => {
    if (!isOfFiles(event)) return;
    event.preventDefault();
    mark(event.target.closest?.("[data-half]"));
  });
  addEventListener("drop", (event) => {
    if (!isOfFiles(event)) return;
    event.preventDefault();
    const half = event.target.closest?.("[data-half]")?.dataset.half ?? "find";
    const files = [...event.dataTransfer.files];
    const place = halves.querySelector('[data-half="add"]');
    show(false);
    if (place && (half === "add" || files.length > 1)) add(files, place.dataset.href);
    else if (files.length > 1) say(told("one-alone"));
    else if (files[0]) find(files[0]);
  });
}
