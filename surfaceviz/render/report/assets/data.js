// The data as they came, decoded: arrays over a grid are flat, element i * m + j at (alpha[i], beta[j]).

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("payload").textContent);
const isSurface = data.ndim === 2;
const ARRAYS = { f4: Float32Array, f8: Float64Array, u1: Uint8Array };
const MISSING = 0;
const EVALUATED = 1;
const INTERPOLATED = 2;

function unpack(packed) {
  if (packed === null) return null;
  const text = atob(packed.bdata);
  const bytes = new Uint8Array(text.length);
  for (let k = 0; k < bytes.length; k += 1) bytes[k] = text.charCodeAt(k);
  return new ARRAYS[packed.dtype](bytes.buffer);
}

// What is interpolated above the level of the loss has no value here: of it no more is known.
function resolvedValues(series, unresolved) {
  const values = unpack(series.values);
  unresolved?.forEach((hidden, k) => { if (hidden) values[k] = NaN; });
  return values;
}

function decodeSeries(series) {
  const unresolved = unpack(series.unresolved);
  return {
    ...series,
    centre: series.centre ?? NaN,
    unresolved,
    values: resolvedValues(series, unresolved),
    bands: series.bands.map(({ words, low, high }) => ({ words, low: unpack(low), high: unpack(high) })),
    stderr: unpack(series.stderr),
    riseStderr: unpack(series.rise_stderr),
  };
}

function decodeMap(map) {
  if (map === null) return null;
  const shades = Object.entries(map.shades).map(([key, { label, values }]) => [key, { label, values: unpack(values) }]);
  return { axes: map.axes.map(unpack), origin: unpack(map.origin), shades: Object.fromEntries(shades) };
}

function decodePath(path) {
  if (path === null) return null;
  const values = path.values.map(([name, packed]) => [name, unpack(packed)]);
  return { ...path, at: path.at.map(unpack), step: unpack(path.step), distance: unpack(path.distance), values };
}

function decodeFile(file, number) {
  const axes = file.axes.map(unpack);
  return {
    ...file,
    number,
    axes,
    rows: axes[0].length,
    columns: isSurface ? axes[1].length : 1,
    series: file.series.map(decodeSeries),
    origin: unpack(file.origin),
    map: decodeMap(file.map),
    trajectory: decodePath(file.trajectory),
  };
}

const files = data.files.map(decodeFile);

// What the controls say. A clip of null is none; a point is an index into data.spectra, or null.
const state = { split: "", metric: "", log: false, logAsked: false, clip: null, shade: "", cut: [0, 0], point: null };

function seriesOf(file, split = state.split, metric = state.metric) {
  return file.series.find((series) => series.split === split && series.metric === metric) ?? null;
}

function nearest(axis, value) {
  let best = 0;
  for (let k = 1; k < axis.length; k += 1) {
    if (Math.abs(axis[k] - value) < Math.abs(axis[best] - value)) best = k;
  }
  return best;
}

function reversedRows(flat, rows, columns, change) {
  // plotly takes rows of y: row j holds all alphas at beta[j]
  const out = [];
  for (let j = 0; j < columns; j += 1) {
    const row = new Array(rows);
    for (let i = 0; i < rows; i += 1) row[i] = change(flat[i * columns + j], i * columns + j);
    out.push(row);
  }
  return out;
}
