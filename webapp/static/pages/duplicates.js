// Duplicates by keys: choose, keep, say that they are none, go to the next group.
import { isPlainKey } from "./shell.js";

const groups = [...document.querySelectorAll(".twins")];
const keys = document.querySelector(".keys");
if (keys) keys.hidden = false;

/** Return the group that keys are about: the one with the focus, else the first. */
function current() {
  return document.activeElement?.closest?.(".twins") ?? groups[0];
}

function go(step) {
  const focused = document.activeElement?.closest?.(".twins");
  const place = focused ? groups.indexOf(focused) + step : 0;
  groups[Math.min(Math.max(place, 0), groups.length - 1)]?.focus();
}

function keep(group) {
  group.querySelector("button[value=merge]")?.click();
}

function choose(radio) {
  if (!radio || radio.disabled) return;
  radio.checked = true;
  radio.focus();
}

/** Whether a key is meant here: on a picture that is chosen as well, where nobody writes. */
function isMeant(event) {
  const isChosen = event.target.matches?.(".twins input") && event.key !== "Enter";
  return isPlainKey(event) || (isChosen && !event.ctrlKey && !event.metaKey && !event.altKey);
}

addEventListener("keydown", (event) => {
  if (!groups.length || !isMeant(event)) return;
  const group = current();
  const isDigit = event.key >= "1" && event.key <= "9" && event.key.length === 1;
  if (isDigit) choose(group.querySelectorAll(".side > li")[event.key - 1]?.querySelector("input"));
  else if (event.key === "b") {
    choose(group.querySelector("[data-best]"));
    keep(group);
  } else if (event.key === "n") group.querySelector("[data-none]").click();
  else if (event.key === "]") go(1);
  else if (event.key === "[") go(-1);
  else if (event.key === "Enter" && document.activeElement === group) keep(group);
  else return;
  event.preventDefault();
});

// A form leads to the group behind the one that was decided.
groups.find((group) => `#${group.id}` === location.hash)?.focus();
