// The map's points: by WebGL2 in one call, or as squares on a 2-D canvas where there is none.

const VERTEX = `#version 300 es
in vec2 place; in float group; in float lit;
uniform vec2 offset, scale; uniform float size; uniform bool dims; uniform vec3 colours[24];
out vec4 colour;
void main() {
  gl_Position = vec4(place * scale + offset, 0.0, 1.0);
  bool low = dims && lit < 0.5;
  gl_PointSize = low ? size : (dims ? size * 1.8 : size);
  float alpha = low ? 0.22 : 0.9;
  colour = vec4(colours[int(group)] * alpha, alpha);
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
in vec4 colour; out vec4 shown;
void main() {
  if (length(gl_PointCoord - 0.5) > 0.5) discard;
  shown = colour;
}`;

function colourOf(hue) {
  // hsl(hue 50% 52%) as in the legend.
  const c = (k) => 0.52 - 0.24 * Math.max(-1, Math.min((k + hue / 30) % 12 - 3, 9 - ((k + hue / 30) % 12), 1));
  return [c(0), c(8), c(4)];
}

/** Points that are larger where they lie apart. */
function sizeOf(at, n) {
  return Math.max(2, Math.min(6, (Math.sqrt((at.width * at.height) / Math.max(1, n)) / 8) * Math.sqrt(at.zoom)));
}

/** The layer of points of a canvas: draw, light some up, find the nearest. */
export function points(canvas, data, groups) {
  const colours = new Float32Array(72).fill(0.5);
  for (const one of groups) colours.set(colourOf(one.hue), one.number * 3);
  const gl = canvas.getContext("webgl2", { antialias: false, powerPreference: "low-power" });
  const way = gl ? byWebGl(gl, data, colours) : bySquares(canvas, data, colours);
  return {
    ...way,
    nearest(at, px, py, reach) {
      let found = null, best = reach * reach;
      for (let i = 0; i < data.n; i++) {
        const dx = data.x[i] * at.scale + at.left - px, dy = data.y[i] * at.scale + at.top - py;
        const away = dx * dx + dy * dy;
        if (away < best) { best = away; found = i; }
      }
      return found;
    },
  };
}

function byWebGl(gl, data, colours) {
  let ready = null;
  function prepare() {
    const program = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    gl.useProgram(program);
    const places = new Uint16Array(2 * data.n);
    for (let i = 0; i < data.n; i++) { places[2 * i] = data.x[i]; places[2 * i + 1] = data.y[i]; }
    column("place", 2, gl.UNSIGNED_SHORT, places);
    column("group", 1, gl.UNSIGNED_BYTE, data.group);
    const lit = column("lit", 1, gl.UNSIGNED_BYTE, new Uint8Array(data.n));
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    const where = Object.fromEntries(["offset", "scale", "size", "dims", "colours"].map((name) => [name, gl.getUniformLocation(program, name)]));
    gl.uniform3fv(where.colours, colours);
    return { where, lit };

    function column(name, count, kind, values) {
      const buffer = gl.createBuffer(), at = gl.getAttribLocation(program, name);
      gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(at);
      gl.vertexAttribPointer(at, count, kind, false, 0, 0);
      return buffer;
    }
  }
  let kept = null;
  // A lost context comes back empty.
  gl.canvas.addEventListener("webglcontextlost", (event) => { event.preventDefault(); ready = null; });
  gl.canvas.addEventListener("webglcontextrestored", () => { ready = null; });
  function light(lit) {
    kept = lit;
    if (!ready) return;
    gl.bindBuffer(gl.ARRAY_BUFFER, ready.lit);
    gl.bufferData(gl.ARRAY_BUFFER, lit ?? new Uint8Array(data.n), gl.DYNAMIC_DRAW);
  }
  return {
    light,
    draw(at, lit) {
      if (gl.isContextLost()) return;
      if (!ready) { ready = prepare(); light(kept); }
      const { where } = ready;
      gl.viewport(0, 0, gl.canvas.width, gl.canvas.height);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      gl.uniform2f(where.scale, (2 * at.scale) / at.width, (-2 * at.scale) / at.height);
      gl.uniform2f(where.offset, (2 * at.left) / at.width - 1, 1 - (2 * at.top) / at.height);
      gl.uniform1f(where.size, sizeOf(at, data.n) * at.dpr);
      gl.uniform1i(where.dims, lit ? 1 : 0);
      gl.drawArrays(gl.POINTS, 0, data.n);
    },
  };
}

function bySquares(canvas, data, colours) {
  const pen = canvas.getContext("2d");
  const styles = [...Array(24).keys()].map((one) => `rgb(${[0, 1, 2].map((k) => Math.round(colours[one * 3 + k] * 255)).join(" ")})`);
  return {
    light() {},
    draw(at, lit) {
      pen.setTransform(at.dpr, 0, 0, at.dpr, 0, 0);
      pen.clearRect(0, 0, at.width, at.height);
      for (let i = 0; i < data.n; i++) {
        const x = data.x[i] * at.scale + at.left, y = data.y[i] * at.scale + at.top;
        if (x < 0 || y < 0 || x > at.width || y > at.height) continue;
        const isLow = lit && !lit[i], side = lit && lit[i] ? 4 : 2;
        pen.globalAlpha = isLow ? 0.22 : 0.9;
        pen.fillStyle = styles[data.group[i]];
        pen.fillRect(x - side / 2, y - side / 2, side, side);
      }
      pen.globalAlpha = 1;
    },
  };
}
