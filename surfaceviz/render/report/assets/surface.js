// The 3-D surface of a file, and what lies on it.

const FAR = NARROW.matches ? 1.35 : 1; // so that labels at the sides are whole
const VIEWS = {
  reset: { x: 1.05 * FAR, y: -1.25 * FAR, z: 0.8 * FAR },
  top: { x: 0, y: -0.001, z: 1.8 * FAR }, // alpha to the right
  front: { x: 0, y: -1.8 * FAR, z: 0.12 },
};
const LIFT = 0.006; // of the height: lines over a surface, not in it
const STAND = 0.1; // likewise: marks stand on a surface, whole
const MARK = 0.5; // of their size in a contour: plotly draws marks in 3-D about twice as large
const TURN = Math.PI / 12;
let eye = { ...VIEWS.reset };

// The height of the drawn surface, linear between its points; NaN outside of it or beside a gap.
function heightAt(file, z, alpha, beta) {
  const cells = [alpha, beta].map((x, k) => cellOf(file.axes[k], x));
  if (cells.includes(null)) return NaN;
  const [[i, s], [j, t]] = cells;
  const corner = (a, b, weight) => (weight === 0 ? 0 : weight * z[j + b][i + a]);
  return corner(0, 0, (1 - s) * (1 - t)) + corner(1, 0, s * (1 - t)) + corner(0, 1, (1 - s) * t) + corner(1, 1, s * t);
}

function cellOf(axis, x) {
  const last = axis.length - 1;
  const slack = 1e-9 * Math.abs(axis[last] - axis[0]);
  if (!(x >= axis[0] - slack && x <= axis[last] + slack)) return null;
  let k = Math.max(0, Math.min(last - 1, axis.findIndex((place) => place > x) - 1));
  if (x >= axis[last]) k = Math.max(0, last - 1);
  const share = last === 0 ? 0 : (x - axis[k]) / (axis[k + 1] - axis[k]);
  return [k, Math.min(1, Math.max(0, share))];
}

// Rows of what is drawn, by one of a scale's ways to place values.
function placedRows(file, place) {
  const series = seriesOf(file);
  return series === null ? null : reversedRows(series.values, file.rows, file.columns, place);
}

function surfaceTraces(file, scale, z) {
  const lift = LIFT * (scale.high - scale.low);
  const stand = STAND * (scale.high - scale.low);
  return [
    {
      type: "surface",
      meta: "surface",
      x: file.axes[0],
      y: file.axes[1],
      z,
      cmin: scale.low,
      cmax: scale.high,
      colorscale: "Viridis",
      showscale: false,
      hovertext: hoverTexts(file),
      hoverinfo: "text",
      lighting: { ambient: 0.75, diffuse: 0.5, specular: 0.08, roughness: 0.9 },
      contours: { x: { highlight: false }, y: { highlight: false }, z: { highlight: false } },
    },
    ...[0, 1].map((k) => surfaceCut(file, z, k, lift)),
    ...overlays(file).map((overlay) => ({
      ...overlay,
      type: "scatter3d",
      marker: { ...overlay.marker, size: MARK * overlay.marker.size },
      z: overlay.x.map((alpha, k) => heightAt(file, z, alpha, overlay.y[k]) + (overlay.meta === "trajectory" ? lift : stand)),
    })),
  ];
}

// The line over the surface that a cut follows: k = 0 along alpha, k = 1 along beta.
function surfaceCut(file, z, k, lift) {
  const [i, j] = cutIndices(file);
  const along = Array.from(file.axes[k]);
  const heights = k === 0 ? z[j] : z.map((row) => row[i]);
  const across = along.map(() => file.axes[1 - k][k === 0 ? j : i]);
  return {
    type: "scatter3d",
    mode: "lines",
    meta: `cut-${k}`,
    x: k === 0 ? along : across,
    y: k === 0 ? across : along,
    z: heights.map((height) => height + lift),
    line: { color: CUT_COLOURS[k], width: 5 },
    hoverinfo: "skip",
  };
}

function surfaceLayout(file, scale) {
  const plain = (title) => ({
    title: { text: title },
    gridcolor: colour("line"),
    zeroline: false,
    showspikes: false,
    backgroundcolor: "rgba(0,0,0,0)",
    color: colour("ink"),
  });
  const pad = 0.02 * (scale.high - scale.low);
  const [width, depth] = file.axes.map((axis) => axis[axis.length - 1] - axis[0]);
  const ratio = file.equal && width > 0 ? depth / width : 1;
  const longest = Math.max(1, ratio);
  return {
    ...baseLayout(),
    margin: { l: 0, r: 0, t: 0, b: 0 },
    scene: {
      xaxis: plain("alpha"),
      yaxis: plain("beta"),
      zaxis: { ...plain(""), range: [scale.low - pad, scale.high + pad], ...ticks(scale) },
      aspectmode: "manual",
      aspectratio: { x: 1 / longest, y: ratio / longest, z: 0.65 },
      camera: { eye, center: { x: 0, y: 0, z: -0.08 }, up: { x: 0, y: 0, z: 1 } },
      dragmode: "turntable",
    },
  };
}

function turned(view) {
  if (view in VIEWS) return { ...VIEWS[view] };
  const zoom = { nearer: 0.85, further: 1 / 0.85 }[view];
  if (zoom) return { x: eye.x * zoom, y: eye.y * zoom, z: eye.z * zoom };
  const angle = view === "left" ? -TURN : TURN;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return { x: eye.x * cos - eye.y * sin, y: eye.x * sin + eye.y * cos, z: eye.z };
}

function hasWebGL() {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("webgl2") ?? canvas.getContext("webgl");
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return context !== null;
}
