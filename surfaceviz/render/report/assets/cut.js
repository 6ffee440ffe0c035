// 1-D cuts: through surfaces at the sliders' places, or 1-D slices themselves, of all files together.

// What the sliders can be set to along each axis: every coordinate of any file.
const STOPS = files[0].axes.map((_, k) => {
  const all = files.flatMap((file) => Array.from(file.axes[k])).sort((a, b) => a - b);
  const near = 1e-9 * (all[all.length - 1] - all[0]);
  return all.filter((x, n) => n === 0 || x - all[n - 1] > near);
});

// state.cut is [alpha, beta]: each file is cut along its own line of points that is nearest.
function cutIndices(file) {
  return file.axes.map((axis, k) => nearest(axis, state.cut[k]));
}

const flatIndex = (file, [i, j = 0]) => i * file.columns + j;

// The points of a file along axis k through the cut, as flat indices.
function lineOf(file, k) {
  const at = cutIndices(file);
  return Array.from(file.axes[k], (_, n) => flatIndex(file, k === 0 ? [n, at[1]] : [at[0], n]));
}

const bandOf = (series) => series.riseStderr ?? series.stderr;

// The band as closed outlines, one for each stretch without a gap.
function bandOutline(x, low, high, floor) {
  const outline = { x: [], y: [] };
  let stretch = [];
  const close = () => {
    if (stretch.length > 1) {
      const back = [...stretch].reverse();
      outline.x.push(...stretch.map((n) => x[n]), ...back.map((n) => x[n]), null);
      outline.y.push(...stretch.map((n) => high[n]), ...back.map((n) => Math.max(floor, low[n])), null);
    }
    stretch = [];
  };
  x.forEach((_, n) => (Number.isFinite(low[n]) && Number.isFinite(high[n]) && high[n] >= floor ? stretch.push(n) : close()));
  close();
  return outline;
}

function curveTraces(file, series, k, scale) {
  const line = lineOf(file, k);
  const x = Array.from(file.axes[k]);
  const finite = (value) => (Number.isFinite(value) && (!scale.log || value > 0) ? value : NaN);
  const y = line.map((n) => finite(series.values[n]));
  const chosen = series.split === state.split;
  const hue = lineColour(file.number);
  const own = files.length > 1 ? `${file.name}: ` : "";
  const traces = [
    {
      type: "scatter",
      mode: "lines",
      meta: chosen ? "curve" : "other split",
      name: escaped(own + named(series)),
      x,
      y,
      line: { color: hue, width: chosen ? 2.5 : 1.2, dash: chosen ? "solid" : DASHES[1 + (file.splits.indexOf(series.split) % 3)] },
      hovertext: line.map((n) => [escaped(file.name), hoverText(file, n)].join("<br>")),
      hoverinfo: "text",
    },
  ];
  if (!chosen) return traces;
  const floor = scale.log ? scale.bottom / 2 : -Infinity;
  const outlines = bandsOf(series, line, y).map(([low, high]) => bandOutline(x, low, high, floor)).filter((outline) => outline.x.length);
  const band = { type: "scatter", mode: "lines", meta: "band", fill: "toself", line: { width: 0, color: hue }, opacity: 0.2, fillcolor: hue, hoverinfo: "skip", showlegend: false };
  return [...outlines.map((outline) => ({ ...outline, ...band })), ...traces];
}

// Lower and upper ends: of rays their quartiles and range, else one standard error to both sides.
function bandsOf(series, line, y) {
  if (series.bands.length) return series.bands.map(({ low, high }) => [low, high].map((ends) => line.map((n) => ends[n])));
  const error = bandOf(series);
  return error === null ? [] : [[-1, 1].map((sign) => y.map((value, n) => value + sign * error[line[n]]))];
}

function shownSeries(file) {
  const same = file.series.filter((series) => series.metric === state.metric);
  return same.sort((a, b) => (a.split === state.split) - (b.split === state.split));
}

// On a curve: the path of a training, marked models and numbered points, at the height of the chosen series.
function curveOverlays(file, scale) {
  const series = seriesOf(file);
  if (isSurface || series === null) return [];
  const height = (x) => heightOnCurve(file, series, x, scale);
  return overlays({ ...file }).map((overlay) => ({ ...overlay, type: "scatter", y: overlay.x.map(height), showlegend: false }));
}

function heightOnCurve(file, series, x, scale) {
  const cell = cellOf(file.axes[0], x);
  if (cell === null) return NaN;
  const [i, share] = cell;
  const [a, b] = [series.values[i], series.values[Math.min(i + 1, file.rows - 1)]];
  const value = share === 0 ? a : a + share * (b - a);
  return scale.log && value <= 0 ? NaN : value;
}

function curveRange(scale) {
  const pad = 0.04 * (scale.high - scale.low);
  return [scale.low - pad, scale.high + pad];
}

function curveLayout(k, scale) {
  const cursor = state.cut[k];
  const title = files.length === 1 && !NARROW.matches ? escaped(files[0].labels[k]) : ["alpha", "beta"][k];
  const line = { type: "line", xref: "x", yref: "paper", x0: cursor, x1: cursor, y0: 0, y1: 1, line: { color: colour("quiet"), width: 1, dash: "dot" } };
  return {
    ...baseLayout(),
    margin: { l: 10, r: 10, t: 10, b: 10 },
    xaxis: { ...axisStyle(title), range: [STOPS[k][0], STOPS[k][STOPS[k].length - 1]] },
    yaxis: { ...axisStyle(escaped(titleOfMetric())), type: scale.log ? "log" : "linear", range: curveRange(scale), ...curveTicks(scale) },
    shapes: [line],
    showlegend: true,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 11 } },
  };
}

// Those of the colour bar, as plotly's own logarithmic axes want them.
function curveTicks(scale) {
  const found = ticks(scale);
  return scale.log ? { ...found, tickvals: found.tickvals.map((place) => 10 ** place) } : found;
}

const titleOfMetric = () => state.metric.replaceAll("_", " ");

function drawCurves(scale) {
  const drawn = [...byId("curves").querySelectorAll(".drawing")].map((div, k) => {
    const curves = files.flatMap((file) => shownSeries(file).flatMap((series) => curveTraces(file, series, k, scale)));
    const over = files.flatMap((file) => curveOverlays(file, scale));
    const traces = [...curves, ...over.sort((a, b) => (a.meta === "points") - (b.meta === "points"))];
    div.setAttribute("aria-label", curveWords(k));
    return Plotly.react(div, traces, curveLayout(k, scale), CONFIG);
  });
  return Promise.all(drawn);
}

function curveWords(k) {
  const at = isSurface ? `, at ${["alpha", "beta"][1 - k]} = ${shown(state.cut[1 - k])}` : "";
  return `${titleOfMetric()} along ${["alpha", "beta"][k]}${at}, of ${files.map(({ name }) => name).join(", ")}`;
}

function bandWords() {
  const series = files.map((file) => seriesOf(file)).filter((found) => found !== null);
  const words = new Set(series.map((found) => (found.riseStderr || found.metric === "rise of the loss" ? "of the paired difference to the centre" : "of the mean")));
  const bands = series.some((found) => bandOf(found)?.some(Number.isFinite));
  if (series.some((found) => found.bands.length)) return "Line: the median of the rays. Bands: their quartiles, and their range.";
  return bands ? `Band: one standard error ${[...words].join(" or ")}, over the samples.` : "";
}

// What is read where the two cuts cross, in words for a screen reader and for all.
function statusWords() {
  const values = files.map((file) => {
    const series = seriesOf(file);
    const at = cutIndices(file);
    const own = files.length > 1 ? `${file.name} ` : "";
    return series === null ? `${own}has no such metric` : `${own}${reading(file, series, flatIndex(file, at))} at ${coordinates(file, ...at)}`;
  });
  const name = [state.split, titleOfMetric()].filter(Boolean).join(" ");
  return `${isSurface ? "Where the cuts cross" : "At the line"}, ${name}: ${values.join("; ")}.`;
}
