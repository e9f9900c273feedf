// The map's thumbnails: real pictures that never touch, chosen in an order that stays.

const CELL = 44, APART = 40, MOST = 420, SIDE_PX = 40, AT_ONCE = 8, KEPT = 1200, CHOOSE_MS = 100, AGAIN_MS = 10000;

/** The layer of thumbnails of a canvas; `changed` is called when a picture has arrived. */
export function thumbnails(canvas, data, address, changed) {
  const pen = canvas.getContext("2d"), pictures = new Map(), waiting = [];
  // Neighbours in the library lie apart in this order, and it is the same at every zoom.
  const step = coprime(Math.round(data.n * 0.618034), data.n);
  let chosen = [], placed = [], loading = 0, last = { zoom: 0, time: 0, lit: null }, late = 0;

  function choose(at, lit) {
    const cells = new Map(), found = [];
    const margin = SIDE_PX;
    const columns = Math.ceil((at.width + 2 * margin) / CELL) + 3;
    for (let k = 0, i = 0; k < data.n && found.length < MOST; k++, i = (i + step) % data.n) {
      if (lit && !lit[i]) continue;
      const x = data.x[i] * at.scale + at.left, y = data.y[i] * at.scale + at.top;
      if (x < -margin || y < -margin || x > at.width + margin || y > at.height + margin) continue;
      const column = Math.floor((x + margin) / CELL) + 1, row = Math.floor((y + margin) / CELL) + 1;
      const cell = row * columns + column;
      if (cells.has(cell)) continue;
      if (isNear(cells, cell, columns, x, y)) continue;
      cells.set(cell, [x, y]);
      found.push(i);
    }
    return found;
  }

  function isNear(cells, cell, columns, x, y) {
    for (const near of [-columns - 1, -columns, -columns + 1, -1, 1, columns - 1, columns, columns + 1]) {
      const other = cells.get(cell + near);
      // Squares of SIDE_PX touch where both distances are less.
      if (other && Math.abs(other[0] - x) < APART && Math.abs(other[1] - y) < APART) return true;
    }
    return false;
  }

  async function load(i) {
    loading++;
    try {
      const reply = await fetch(address.replace("/1/", `/${data.ids[i]}/`), { credentials: "same-origin" });
      // Busy: it stays a point for a while, and is asked for again when it is chosen anew.
      if (reply.status === 429 || reply.status === 503) setTimeout(() => pictures.delete(i), AGAIN_MS);
      if (!reply.ok) throw new TypeError();
      const whole = await createImageBitmap(await reply.blob());
      const scale = (2 * SIDE_PX) / Math.max(whole.width, whole.height);
      const width = Math.max(1, Math.round(whole.width * scale)), height = Math.max(1, Math.round(whole.height * scale));
      const bitmap = await createImageBitmap(whole, { resizeWidth: width, resizeHeight: height, resizeQuality: "medium" });
      whole.close();
      pictures.set(i, bitmap);
      forget();
    } catch {
      // One that is gone, or not made yet, stays a point.
      pictures.set(i, null);
    }
    loading--;
    changed();
    next();
  }

  function forget() {
    const inUse = new Set(chosen);
    for (const [i, picture] of pictures) {
      if (pictures.size <= KEPT) return;
      if (inUse.has(i)) continue;
      picture?.close();
      pictures.delete(i);
    }
  }

  function next() {
    while (loading < AT_ONCE && waiting.length) {
      const i = waiting.pop();
      if (!pictures.has(i)) { pictures.set(i, undefined); load(i); }
    }
  }

  function chooseAnew(at, lit) {
    chosen = choose(at, lit);
    last = { zoom: at.zoom, left: at.left, top: at.top, width: at.width, height: at.height, time: performance.now(), lit };
    waiting.length = 0;
    for (let k = chosen.length; k--;) if (!pictures.has(chosen[k])) waiting.push(chosen[k]);
    next();
  }

  return {
    /** Draw, and return how many are shown. */
    draw(at, lit) {
      const isMoved = ["zoom", "left", "top", "width", "height"].some((name) => at[name] !== last[name]);
      if (lit !== last.lit || (isMoved && performance.now() - last.time > CHOOSE_MS)) chooseAnew(at, lit);
      else if (isMoved) { clearTimeout(late); late = setTimeout(changed, CHOOSE_MS + 10); }
      pen.setTransform(at.dpr, 0, 0, at.dpr, 0, 0);
      pen.clearRect(0, 0, at.width, at.height);
      placed = [];
      for (const i of chosen) {
        const picture = pictures.get(i);
        if (!picture) continue;
        const x = data.x[i] * at.scale + at.left, y = data.y[i] * at.scale + at.top;
        const width = picture.width / 2, height = picture.height / 2;
        if (overlaps(x, y)) continue;
        pen.drawImage(picture, x - width / 2, y - height / 2, width, height);
        placed.push([i, x, y]);
      }
      return placed.length;

      // Between two choices a zoom outwards draws the old one closer together.
      function overlaps(x, y) {
        if (at.zoom >= last.zoom) return false;
        return placed.some(([, px, py]) => Math.abs(px - x) < APART && Math.abs(py - y) < APART);
      }
    },
    /** The picture that is drawn at a place of the plane; null where there is none. */
    at(px, py) {
      const found = placed.find(([, x, y]) => Math.abs(x - px) <= SIDE_PX / 2 && Math.abs(y - py) <= SIDE_PX / 2);
      return found ? found[0] : null;
    },
  };
}

function coprime(near, n) {
  const divisor = (a, b) => (b ? divisor(b, a % b) : a);
  for (let step = Math.max(1, near); step < near + n; step++) if (divisor(step, n) === 1) return step;
  return 1;
}
