// The pictures of the map's thumbnails: their addresses asked for together, then a few fetched at a time.

import { call } from "./shell.js";

const AT_ONCE = 8, KEPT = 1500, TOGETHER = 400, PAUSE_MS = 60, TTL_S = 604800, AGAIN_MS = 10000;

const LOOK = 8, DARK = 0.5, BRIGHT = 0.85;
const look = new OffscreenCanvas(LOOK, LOOK).getContext("2d", { willReadFrequently: true });
const grounds = new WeakMap();

/** The token of the tone behind a picture, as tiles have it; undefined where it needs none. */
export const groundOf = (picture) => grounds.get(picture);

/** The tone on which a transparent picture is seen: the other one where it is dark or bright. */
function groundFor(bitmap) {
  look.clearRect(0, 0, LOOK, LOOK);
  look.drawImage(bitmap, 0, 0, LOOK, LOOK);
  const { data } = look.getImageData(0, 0, LOOK, LOOK);
  let least = 255, all = 0, light = 0;
  for (let k = 0; k < data.length; k += 4) {
    const alpha = data[k + 3];
    least = Math.min(least, alpha);
    all += alpha;
    light += alpha * (0.2126 * data[k] + 0.7152 * data[k + 1] + 0.0722 * data[k + 2]) / 255;
  }
  if (least > 250 || !all) return undefined;
  if (light / all < DARK) return "--tile-light";
  return light / all > BRIGHT ? "--tile-dark" : undefined;
}

/**
 * Pictures as bitmaps by image id.
 *
 * @param at where addresses of pictures are made, and the longer side in pixels.
 * @param changed is called when one has arrived.
 */
export class Pictures {
  constructor({ links, side }, changed) {
    Object.assign(this, { links, side, changed });
    this.bitmaps = new Map();
    this.addresses = new Map();
    this.wanted = [];
    this.loading = 0;
    this.pause = 0;
    this.isAsking = false;
  }

  get(id) {
    return this.bitmaps.get(id);
  }

  /** Say which pictures are wanted now, the first ones first; those of before are not waited for. */
  want(ids) {
    this.wanted = ids.filter((id) => !this.bitmaps.has(id));
    this.#forget(new Set(ids));
    this.#next();
    if (!this.pause && this.wanted.some((id) => !this.addresses.has(id))) {
      this.pause = setTimeout(() => this.#ask(), PAUSE_MS);
    }
  }

  async #ask() {
    const ids = this.wanted.filter((id) => !this.addresses.has(id)).slice(0, TOGETHER);
    if (ids.length) {
      try {
        const reply = await call("POST", this.links, { json: { image_ids: ids, ttl_s: TTL_S } });
        for (const id of ids) this.addresses.set(id, null);
        for (const one of reply.results) this.addresses.set(one.image_id, one.src[320]);
      } catch {
        // Points stay points; the next move asks again.
        this.pause = 0;
        return;
      }
    }
    this.pause = 0;
    this.want(this.wanted);
  }

  #next() {
    while (this.loading < AT_ONCE) {
      const at = this.wanted.findIndex((id) => this.addresses.has(id));
      if (at < 0) return;
      const [id] = this.wanted.splice(at, 1), address = this.addresses.get(id);
      // One that is gone, or not made yet, stays a point.
      this.bitmaps.set(id, null);
      if (address) this.#load(id, address);
    }
  }

  async #load(id, address) {
    this.loading++;
    try {
      const reply = await fetch(address, { credentials: "same-origin" });
      // Busy: it stays a point for a while, and is asked for again when it is wanted then.
      if (reply.status === 429 || reply.status === 503) setTimeout(() => this.bitmaps.delete(id), AGAIN_MS);
      if (!reply.ok) throw new TypeError();
      const whole = await createImageBitmap(await reply.blob());
      const scale = this.side / Math.max(whole.width, whole.height);
      const size = { resizeWidth: Math.max(1, Math.round(whole.width * scale)), resizeHeight: Math.max(1, Math.round(whole.height * scale)) };
      const bitmap = await createImageBitmap(whole, { ...size, resizeQuality: "medium" }), ground = groundFor(bitmap);
      if (ground) grounds.set(bitmap, ground);
      this.bitmaps.set(id, bitmap);
      whole.close();
      this.changed();
    } catch {
      // It was made private or deleted meanwhile.
    }
    this.loading--;
    this.#next();
  }

  #forget(inUse) {
    for (const [id, bitmap] of this.bitmaps) {
      if (this.bitmaps.size <= KEPT) return;
      if (inUse.has(id)) continue;
      bitmap?.close();
      this.bitmaps.delete(id);
    }
  }
}
