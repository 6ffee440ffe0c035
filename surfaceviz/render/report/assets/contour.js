// The contour of a file, and what lies on it: cuts, path, marked models, numbered points.

const CUT_COLOURS = ["#D55E00", "#CC79A7"]; // along alpha, along beta
const PATH_COLOUR = "#E69F00";

// Traces without a type: both drawings have them, the surface with a height.
function overlays(file) {
  return [pathTrace(file), marksTrace(file), pointsTrace(file)].filter((trace) => trace !== null);
}

function pathTrace(file) {
  const path = file.trajectory;
  if (path === null) return null;
  const hue = isSurface ? PATH_COLOUR : colour("ink"); // beside curves, which have colours themselves
  const text = Array.from(path.step, (step, k) => {
    const values = path.values.map(([name, values_]) => `<br>${escaped(name)} ${shown(values_[k])}`);
    return `step ${shown(step)}<br>off the slice by ${shown(path.distance[k])}${values.join("")}`;
  });
  return {
    mode: "lines+markers",
    meta: "trajectory",
    x: Array.from(path.at[0]),
    y: Array.from(path.at[1] ?? []),
    line: { color: hue, width: 3, ...(!isSurface && { dash: "dot" }) },
    marker: halo(4, hue),
    hovertext: text,
    hoverinfo: "text",
  };
}

function marksTrace(file) {
  const marks = [{ name: "theta", at: [0, 0], values: [] }, ...file.marks].filter(({ at }) => at.every((x) => x !== null));
  return {
    mode: "markers",
    meta: "marks",
    x: marks.map(({ at }) => at[0]),
    y: marks.map(({ at }) => at[1]),
    marker: { ...halo(7, marks.map((_, k) => (k ? "#D55E00" : "#ffffff"))), symbol: marks.map((_, k) => (k ? "diamond" : "circle")), line: { color: "#111111", width: 1 } },
    hovertext: marks.map(({ name, values }) => [name, ...values.map(([key, x]) => `${key} ${shown(x ?? NaN)}`)].map(escaped).join("<br>")),
    hoverinfo: "text",
  };
}

// Minima are those of one loss, and lie on no other metric.
function showsMinima(file) {
  const series = seriesOf(file);
  if (file.minima === null || !isSurface || series === null) return false;
  return file.minima.of === `${series.split}_loss` && (series.metric === "loss" || series.derived);
}

function minimaTrace(file) {
  if (!showsMinima(file)) return null;
  const { points } = file.minima;
  return {
    mode: "markers+text",
    meta: "minima",
    x: points.map(({ at }) => at[0]),
    y: points.map(({ at }) => at[1]),
    text: points.map(({ text }) => text),
    textposition: "bottom center",
    textfont: { color: "#F0E442", size: 13, weight: 700, shadow: "auto" },
    marker: {
      symbol: points.map(({ is_pass }) => (is_pass ? "x" : "triangle-down")),
      size: points.map(({ is_pass, text }) => (is_pass || !text ? 8 : 12)),
      color: points.map(({ is_pass, text }) => (is_pass ? "#111111" : text ? "#F0E442" : "#ffffff")),
      line: { color: points.map(({ is_pass }) => (is_pass ? "#ffffff" : "#111111")), width: 1 },
    },
    hovertext: points.map(({ words }) => escaped(words)),
    hoverinfo: "text",
  };
}

// One mark for each number: matrices at one point share it.
function pointsOf(file) {
  const seen = new Map();
  data.spectra.forEach((spectrum, index) => {
    if (spectrum.file === file.number && spectrum.at !== null && !seen.has(spectrum.number)) seen.set(spectrum.number, { spectrum, index });
  });
  return [...seen.values()];
}

function isChosen(spectrum) {
  const chosen = state.point === null ? null : data.spectra[state.point];
  return chosen !== null && chosen.file === spectrum.file && chosen.number === spectrum.number && chosen.at !== null;
}

function pointsTrace(file) {
  const points = pointsOf(file);
  if (!points.length) return null;
  const chosen = points.map(({ spectrum }) => isChosen(spectrum));
  return {
    mode: "markers+text",
    meta: "points",
    x: points.map(({ spectrum }) => spectrum.at[0]),
    y: points.map(({ spectrum }) => spectrum.at[1]),
    text: points.map(({ spectrum }) => String(spectrum.number)),
    textposition: "middle center",
    textfont: { color: "#111111", size: 11 },
    customdata: points.map(({ index }) => index),
    marker: {
      size: 18,
      color: chosen.map((is) => (is ? "#F0E442" : "#ffffff")),
      line: { color: "#111111", width: 2 },
    },
    hovertext: points.map(({ spectrum }) => `${spectrum.number}: ${escaped(spectrum.where)}, ${escaped(spectrum.kind)}<br>click for its spectrum`),
    hoverinfo: "text",
  };
}

// Why there is no value: unresolved points nearly white, missing ones light grey, diverged ones darker.
function holesTrace(file, series) {
  const reasons = { [MISSING]: 1, [EVALUATED]: 2, [INTERPOLATED]: 0 };
  const kind = (value, k) => (Number.isFinite(value) ? null : reasons[file.origin[k]]);
  const z = reversedRows(series.values, file.rows, file.columns, kind);
  if (!z.some((row) => row.some((x) => x !== null))) return null;
  const grey = [[0, data.colours.unresolved], [0.5, data.colours.missing], [1, data.colours.diverged]];
  return { ...gridTrace(file), type: "heatmap", meta: "holes", z, zmin: 0, zmax: 2, colorscale: grey, showscale: false };
}

const gridTrace = (file) => ({ x: file.axes[0], y: file.axes[1], hovertext: hoverTexts(file), hoverinfo: "text" });

function colourBar(title, marks) {
  return { title: { text: title, side: "right" }, thickness: 12, outlinewidth: 0, len: 1, tickfont: { size: 11 }, ...marks };
}

function mainTrace(file, scale, z, title) {
  const common = {
    ...gridTrace(file),
    meta: "values",
    z,
    zmin: scale.low,
    zmax: scale.high,
    colorscale: "Viridis",
    colorbar: colourBar(title, ticks(scale)),
  };
  if (Math.min(file.rows, file.columns) < 2) return { ...common, type: "heatmap" }; // no line runs through one row
  const ink = state.shade ? { coloring: "none", showlines: true } : { coloring: "fill", showlines: true };
  return {
    ...common,
    type: "contour",
    autocontour: false,
    contours: { ...contourLevels(scale), ...ink },
    line: { width: state.shade ? 1.2 : 0.5, color: state.shade ? "#111111" : "rgba(255,255,255,0.75)" },
    showscale: !state.shade,
  };
}

function shadeTrace(file) {
  if (!state.shade || file.map === null) return null;
  const scale = shadeScale(state.shade);
  const { label, values } = file.map.shades[state.shade];
  const columns = file.map.axes[1].length;
  return {
    type: "heatmap",
    meta: "shade",
    x: file.map.axes[0],
    y: file.map.axes[1],
    z: reversedRows(values, file.map.axes[0].length, columns, (x) => (Number.isFinite(x) ? scale.place(x) : null)),
    hovertext: reversedRows(values, file.map.axes[0].length, columns, (x) => `${escaped(label)} ${shown(x)}`),
    hoverinfo: "text",
    zmin: scale.low,
    zmax: scale.high,
    colorscale: scale.signed ? SIGNED : "Viridis",
    colorbar: colourBar(escaped(label), shadeTicks(scale)),
  };
}

function contourCut(file, k) {
  const [i, j] = cutIndices(file);
  const ends = [file.axes[k][0], file.axes[k][file.axes[k].length - 1]];
  const across = Array(2).fill(k === 0 ? file.axes[1][j] : file.axes[0][i]);
  return {
    type: "scatter",
    mode: "lines",
    meta: `cut-${k}`,
    x: k === 0 ? ends : across,
    y: k === 0 ? across : ends,
    line: { color: CUT_COLOURS[k], width: 2 },
    hoverinfo: "skip",
  };
}

function contourTraces(file, scale, z) {
  const series = seriesOf(file);
  return [
    holesTrace(file, series),
    shadeTrace(file),
    mainTrace(file, scale, z, escaped(named(series))),
    contourCut(file, 0),
    contourCut(file, 1),
    ...[minimaTrace(file), ...overlays(file)].filter(Boolean).map((overlay) => ({ ...overlay, type: "scatter" })),
  ].filter((trace) => trace !== null);
}

// Where the direction comes from has no room on a phone; the page's last section tells it there.
const axisTitle = (file, k) => (NARROW.matches ? ["alpha", "beta"][k] : escaped(file.labels[k]));

function contourLayout(file) {
  const [alpha, beta] = file.axes.map((axis) => [axis[0], axis[axis.length - 1]]);
  const equal = file.equal ? { scaleanchor: "x", constrain: "domain" } : {};
  const range = ([low, high]) => (high > low ? { range: [low, high] } : {});
  return {
    ...baseLayout(),
    margin: { l: 10, r: 10, t: 8, b: 10 },
    xaxis: { ...axisStyle(axisTitle(file, 0)), ...range(alpha), constrain: "domain", constraintoward: "right", zeroline: false },
    yaxis: { ...axisStyle(axisTitle(file, 1)), ...range(beta), ...equal, zeroline: false },
  };
}
