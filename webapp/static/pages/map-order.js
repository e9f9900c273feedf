// Which points of the map have room for a picture: more at every step of the zoom, and never fewer.

/** Pixels between the middles of two pictures at least, across or down. */
export const APART = 42;
const FIRST = 160 / 65535, STEPS = 4, CHUNK = 512;
const MOST_STEP = 40;

/** The step of a scale (pixels for each step of a coordinate); -1 where no two pictures have room. */
export function stepOf(scale) {
  return Math.max(-1, Math.min(MOST_STEP, Math.floor(STEPS * Math.log2(scale / FIRST))));
}

/**
 * Points in the order in which they get room. What has room at a step keeps it at every later one, so
 * zooming in only adds pictures, zooming out only takes some away, and moving changes nothing.
 *
 * @param data the columns x and y.
 * @param among the points that count, as an array of places in the columns; null for all.
 */
export class Order {
  constructor(data, among = null) {
    const n = among ? among.length : data.n, stride = coprime(Math.round(n * 0.618034), n);
    this.data = data;
    this.rest = new Uint32Array(n);
    // Neighbours in the library lie apart in this order, and it is the same at every visit.
    for (let k = 0, i = 0; k < n; k++, i = (i + stride) % n) this.rest[k] = among ? among[i] : i;
    this.left = n;
    this.shown = new Uint32Array(n);
    this.count = 0;
    this.ends = [];
    let size = 64;
    while (size < 2 * n) size *= 2;
    this.heads = new Int32Array(size);
    this.next = new Int32Array(n);
    this.work = null;
  }

  /** Work for some milliseconds towards a step; return how many of `shown` have room at it by now. */
  reach(step, forMs = Infinity) {
    const end = performance.now() + forMs;
    while (this.ends.length <= step && (this.work ??= this.#step(this.ends.length))) {
      if (this.work.next().done) this.work = null;
      if (performance.now() > end) break;
    }
    return this.ends.length && step >= 0 ? this.ends[Math.min(step, this.ends.length - 1)] : 0;
  }

  /** Whether a step is complete. */
  isDone(step) {
    return this.ends.length > step;
  }

  *#step(step) {
    const { x, y } = this.data, { heads, next, shown, rest } = this, mask = heads.length - 1;
    const gap = APART / (FIRST * 2 ** (step / STEPS));
    const bucket = (column, row) => (Math.imul(column, 73856093) ^ Math.imul(row, 19349663)) & mask;
    heads.fill(-1);
    let count = 0;
    const add = (i) => {
      const at = bucket(Math.floor(x[i] / gap), Math.floor(y[i] / gap));
      shown[count] = i;
      next[count] = heads[at];
      heads[at] = count++;
    };
    const isFree = (i) => {
      const column = Math.floor(x[i] / gap), row = Math.floor(y[i] / gap);
      for (let c = column - 1; c <= column + 1; c++) {
        for (let r = row - 1; r <= row + 1; r++) {
          for (let at = heads[bucket(c, r)]; at >= 0; at = next[at]) {
            const j = shown[at];
            if (Math.abs(x[j] - x[i]) < gap && Math.abs(y[j] - y[i]) < gap) return false;
          }
        }
      }
      return true;
    };
    for (let k = 0; k < this.count; k++) {
      add(shown[k]);
      if (k % (8 * CHUNK) === 0) yield;
    }
    let kept = 0;
    for (let k = 0; k < this.left; k++) {
      if (isFree(rest[k])) add(rest[k]);
      else rest[kept++] = rest[k];
      if (k % CHUNK === 0) yield;
    }
    this.left = kept;
    this.count = count;
    this.ends.push(count);
  }
}

function coprime(near, n) {
  const divisor = (a, b) => (b ? divisor(b, a % b) : a);
  for (let step = Math.max(1, near); step < near + n; step++) if (divisor(step, n) === 1) return step;
  return 1;
}
