// The map's thumbnails: real pictures that never touch.

import { Order, stepOf } from "./map-order.js";
import { groundOf, Pictures } from "./map-pictures.js";

const SIDE_PX = 40, SLICE_MS = 3;

/** The layer of thumbnails of a canvas; `changed` is called when there is more to draw. */
export function thumbnails(canvas, data, links, changed) {
  const pen = canvas.getContext("2d"), pictures = new Pictures({ links, side: 2 * SIDE_PX }, changed);
  const all = new Order(data), tokens = getComputedStyle(document.documentElement);
  let order = all, lastLit = null, placed = [], asked = "";

  function chosenAt(at) {
    const step = stepOf(at.scale), count = order.reach(step, SLICE_MS), { shown } = order, found = [];
    if (!order.isDone(step)) changed();
    const edge = SIDE_PX / 2, { x, y } = data;
    const least = (-edge - at.left) / at.scale, most = (at.width + edge - at.left) / at.scale;
    const top = (-edge - at.top) / at.scale, bottom = (at.height + edge - at.top) / at.scale;
    for (let k = 0; k < count; k++) {
      const i = shown[k];
      if (x[i] > least && x[i] < most && y[i] > top && y[i] < bottom) found.push(i);
    }
    return found;
  }

  return {
    /** Draw, and return how many are shown. */
    draw(at, lit) {
      if (lit !== lastLit) {
        order = lit ? new Order(data, [...lit.keys()].filter((i) => lit[i])) : all;
        lastLit = lit;
      }
      const chosen = chosenAt(at);
      // The same ones were asked for already.
      const key = `${chosen.length} ${chosen[0]} ${chosen.at(-1)} ${at.left} ${at.top} ${at.scale}`;
      if (key !== asked) { asked = key; pictures.want(chosen.map((i) => data.ids[i])); }
      pen.setTransform(at.dpr, 0, 0, at.dpr, 0, 0);
      pen.clearRect(0, 0, at.width, at.height);
      placed = [];
      for (const i of chosen) {
        const picture = pictures.get(data.ids[i]);
        if (!picture) continue;
        const x = data.x[i] * at.scale + at.left, y = data.y[i] * at.scale + at.top;
        const width = picture.width / 2, height = picture.height / 2;
        const ground = groundOf(picture);
        if (ground) {
          pen.fillStyle = tokens.getPropertyValue(ground);
          pen.beginPath();
          pen.roundRect(x - width / 2, y - height / 2, width, height, 6);
          pen.fill();
        }
        pen.drawImage(picture, x - width / 2, y - height / 2, width, height);
        placed.push([i, x, y]);
      }
      return placed.length;
    },
    /** The picture that is drawn at a place of the plane; null where there is none. */
    at(px, py) {
      const found = placed.find(([, x, y]) => Math.abs(x - px) <= SIDE_PX / 2 && Math.abs(y - py) <= SIDE_PX / 2);
      return found ? found[0] : null;
    },
  };
}
