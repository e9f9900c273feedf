// Map: all pictures as points in one call, and above them as many thumbnails as do not touch.

import { fragment, isPlainKey, reasonOf, Refused, say, told } from "./shell.js";
import { points as pointLayer } from "./map-points.js";
import { thumbnails } from "./map-thumbnails.js";
import { Area } from "./map-area.js";

const SIDE = 65535, MOST_ZOOM = 64, PAUSE_MS = 160, NEAR_PX = 24, CLICK_PX = 5, EDGE_PX = 40, AGAIN_MS = 5000;
const plane = document.getElementById("map");
if (plane) begin(plane);

/** The columns of the reply: ids, places and numbers of groups. */
function read(buffer) {
  const n = buffer.byteLength / 13, halves = new Uint32Array(buffer, 0, 2 * n), ids = new Float64Array(n);
  for (let i = 0; i < n; i++) ids[i] = halves[2 * i] + halves[2 * i + 1] * 2 ** 32;
  return {
    n, ids,
    x: new Uint16Array(buffer, 8 * n, n),
    y: new Uint16Array(buffer, 10 * n, n),
    group: new Uint8Array(buffer, 12 * n, n),
  };
}

async function begin(plane) {
  const groups = [...document.querySelectorAll(".legend .group")].map((one) => ({
    number: +one.dataset.number, hue: +one.dataset.hue, x: +one.dataset.x, y: +one.dataset.y,
    name: one.dataset.name, size: Number(one.dataset.size), element: one,
  }));
  const view = { x: number("x", 0.5), y: number("y", 0.5), zoom: number("zoom", 1) };
  let data;
  try {
    const reply = await fetch(plane.dataset.points, { credentials: "include", mode: "cors" });
    // A map that is gone has a follower; whoever is signed out is asked to sign in.
    if (reply.status === 404 || reply.status === 401) return location.reload();
    if (!reply.ok) throw new Refused(reply.status, await reply.json().catch(() => ({})));
    data = read(await reply.arrayBuffer());
  } catch (error) {
    const why = `${reasonOf(error, "away")} ${told("again")}`;
    for (const name of ["shown", "here"]) document.getElementById(name).textContent = why;
    setTimeout(() => begin(plane), AGAIN_MS);
    return;
  }
  document.getElementById("here").textContent = "";

  const layer = pointLayer(plane.querySelector(".points"), data, groups);
  const small = thumbnails(plane.querySelector(".pictures"), data, plane.dataset.links, () => wake());
  let lit = null, size = null, wanted = 0, saving = 0;
  const area = new Area(plane, { data, frame, lit: () => lit, changed: () => save() });

  function number(name, usual) {
    const value = Number.parseFloat(plane.dataset[name]);
    return Number.isFinite(value) ? value : usual;
  }

  /** Pixels of the plane for each step of a coordinate, and where coordinate 0 is. */
  function frame() {
    size ??= sizeNow();
    const scale = (view.zoom * (Math.min(size.width, size.height) - EDGE_PX)) / SIDE;
    return {
      ...size, scale, zoom: view.zoom,
      left: size.width / 2 - view.x * SIDE * scale,
      top: size.height / 2 - view.y * SIDE * scale,
    };
  }

  function sizeNow() {
    return { width: plane.clientWidth, height: plane.clientHeight, dpr: Math.min(2, devicePixelRatio || 1) };
  }

  function draw() {
    wanted = 0;
    const at = frame();
    area.draw(at);
    layer.draw(at, lit);
    const shown = small.draw(at, lit);
    const line = told("shown", { count: data.n, shown });
    const count = document.getElementById("shown");
    if (count.textContent !== line) count.textContent = line;
    if (plane.dataset.state === "drawn") return;
    plane.dataset.state = "drawn";
    performance.mark("map-drawn");
  }

  function wake() {
    if (!wanted) wanted = requestAnimationFrame(draw);
  }

  function moved() {
    view.zoom = Math.min(MOST_ZOOM, Math.max(1, view.zoom));
    view.x = Math.min(1, Math.max(0, view.x));
    view.y = Math.min(1, Math.max(0, view.y));
    wake();
    clearTimeout(saving);
    saving = setTimeout(save, 250);
  }

  function save() {
    const address = new URL(location.href);
    const isWhole = view.zoom === 1 && view.x === 0.5 && view.y === 0.5;
    for (const [name, digits] of [["x", 4], ["y", 4], ["zoom", 2]]) {
      if (isWhole) address.searchParams.delete(name);
      else address.searchParams.set(name, view[name].toFixed(digits));
    }
    if (area.chosen) address.searchParams.set("area", area.chosen.join(","));
    else address.searchParams.delete("area");
    history.replaceState(history.state, "", address);
    const near = groups.filter((one) => Math.hypot(one.x / SIDE - view.x, one.y / SIDE - view.y) < 0.5 / view.zoom)
      .sort((a, b) => Math.hypot(a.x / SIDE - view.x, a.y / SIDE - view.y) - Math.hypot(b.x / SIDE - view.x, b.y / SIDE - view.y))[0];
    const line = near && view.zoom > 1 ? told("here", { name: near.name, count: near.size }) : "";
    const here = document.getElementById("here");
    if (here.textContent !== line) here.textContent = line;
  }

  /** Zoom by a factor, so that what is at a place of the plane stays there. */
  function zoomBy(factor, px = size.width / 2, py = size.height / 2) {
    const before = frame();
    const x = (px - before.left) / before.scale, y = (py - before.top) / before.scale;
    view.zoom = Math.min(MOST_ZOOM, Math.max(1, view.zoom * factor));
    const scale = (view.zoom * (Math.min(size.width, size.height) - EDGE_PX)) / SIDE;
    view.x = (x + (size.width / 2 - px) / scale) / SIDE;
    view.y = (y + (size.height / 2 - py) / scale) / SIDE;
    if (view.zoom === 1) view.x = view.y = 0.5;
    moved();
  }

  function pan(dx, dy) {
    const { scale } = frame();
    view.x -= dx / scale / SIDE;
    view.y -= dy / scale / SIDE;
    moved();
  }

  function showAll() {
    Object.assign(view, { x: 0.5, y: 0.5, zoom: 1 });
    moved();
  }

  function open(px, py, reach) {
    const at = frame(), found = small.at(px, py) ?? layer.nearest(at, px, py, reach);
    if (found === null) return;
    save();
    location.href = plane.dataset.image.replace(/\/1(?=$|\?)/, `/${data.ids[found]}`);
  }

  // Pointers: one drags, two pinch, a short one opens.
  const held = new Map();
  let travelled = 0;
  plane.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    plane.setPointerCapture(event.pointerId);
    if (!held.size && area.begin(event)) return;
    // A second finger makes it a pinch.
    if (area.from) return;
    held.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    if (held.size === 1) travelled = 0;
  });
  plane.addEventListener("pointermove", (event) => {
    if (area.from) return area.move(event);
    const from = held.get(event.pointerId);
    if (!from) return;
    const to = { x: event.offsetX, y: event.offsetY };
    travelled += Math.hypot(to.x - from.x, to.y - from.y);
    if (held.size === 1) {
      if (travelled > CLICK_PX) plane.classList.add("moved");
      pan(to.x - from.x, to.y - from.y);
    } else {
      const [other] = [...held].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      const before = Math.hypot(from.x - other.x, from.y - other.y), after = Math.hypot(to.x - other.x, to.y - other.y);
      if (before > 0) zoomBy(after / before, (to.x + other.x) / 2, (to.y + other.y) / 2);
    }
    held.set(event.pointerId, to);
  });
  const release = (event) => {
    if (area.from) return area.end();
    const place = held.get(event.pointerId);
    held.delete(event.pointerId);
    plane.classList.remove("moved");
    if (place && event.type === "pointerup" && travelled <= CLICK_PX && !held.size) open(place.x, place.y, NEAR_PX);
  };
  plane.addEventListener("pointerup", release);
  plane.addEventListener("pointercancel", release);
  plane.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    zoomBy(Math.exp(-event.deltaY * lines * 0.0015), event.offsetX, event.offsetY);
  }, { passive: false });

  const zooms = { in: () => zoomBy(1.5), out: () => zoomBy(1 / 1.5), all: showAll };
  const keys = {
    ArrowLeft: () => pan(size.width / 8, 0), ArrowRight: () => pan(-size.width / 8, 0),
    ArrowUp: () => pan(0, size.height / 8), ArrowDown: () => pan(0, -size.height / 8),
    "+": zooms.in, "=": zooms.in, "-": zooms.out, 0: zooms.all,
    Enter: () => open(size.width / 2, size.height / 2, Infinity),
    a: () => area.view(), Escape: () => { area.turn(false); area.set(null); },
  };
  plane.addEventListener("keydown", (event) => {
    if (!isPlainKey(event) || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => zooms[button.dataset.zoom]());
  }
  for (const one of groups) {
    one.element.querySelector(".fly").addEventListener("click", () => {
      Object.assign(view, { x: one.x / SIDE, y: one.y / SIDE, zoom: Math.max(view.zoom, 4) });
      moved();
      plane.focus({ preventScroll: true });
      plane.scrollIntoView({ block: "nearest" });
    });
  }

  /** Where an image stands in the columns, which ascend by id; -1 where it is not on the map. */
  function placeOf(id) {
    let low = 0, high = data.n - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (data.ids[middle] === id) return middle;
      if (data.ids[middle] < id) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  // What the search lights up.
  function light() {
    const told = document.getElementById("lit").dataset.lit;
    if (told === undefined) lit = null;
    else {
      lit = new Uint8Array(data.n);
      for (const id of told.split(" ").filter(Boolean).map(Number)) {
        const at = placeOf(id);
        if (at >= 0) lit[at] = 1;
      }
    }
    layer.light(lit);
    area.tell();
    wake();
  }

  const form = document.getElementById("search"), box = document.getElementById("q");
  let asking = null, pause = 0;
  async function ask() {
    clearTimeout(pause);
    asking?.abort();
    const mine = (asking = new AbortController()), address = new URL(form.action);
    for (const [name, value] of new FormData(form)) if (value) address.searchParams.append(name, value);
    try {
      const part = await fragment(address, { signal: mine.signal });
      document.getElementById("lit").replaceWith(part.querySelector("#lit"));
      for (const name of ["x", "y", "zoom", "area"]) {
        const value = new URL(location.href).searchParams.get(name);
        if (value) address.searchParams.set(name, value);
      }
      history.replaceState(history.state, "", address);
      document.title = `${box.value.trim() || told("map")} · Mirada`;
      light();
    } catch (error) {
      if (error.name !== "AbortError") say(reasonOf(error));
    }
  }
  box.addEventListener("input", () => {
    clearTimeout(pause);
    asking?.abort();
    if (box.value.trim().length !== 1) pause = setTimeout(ask, PAUSE_MS);
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });

  new ResizeObserver(([entry]) => {
    const { width, height } = entry.contentRect;
    if (!width || !height) return;
    size = sizeNow();
    for (const canvas of plane.querySelectorAll("canvas")) {
      canvas.width = Math.round(width * size.dpr);
      canvas.height = Math.round(height * size.dpr);
    }
    cancelAnimationFrame(wanted);
    draw();
  }).observe(plane);
  light();
}
