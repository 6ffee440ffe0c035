// Numbers and names as text. Names come from files: they are set as textContent, or escaped for plotly's labels.

const LONG = 1e7; // numbers from here on are written with an exponent

function shown(x, digits = 5) {
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "infinite" : "\u2212infinite";
  const rounded = Number(x.toPrecision(digits));
  return (Math.abs(rounded) < LONG ? String(rounded) : rounded.toExponential()).replaceAll("-", "\u2212");
}

// plotly's labels know a few tags and drop others; entities it shows as they are meant.
function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

const named = (series) => [series.split, series.metric.replaceAll("_", " ")].filter(Boolean).join(" ");
const error = (array, k) => (array !== null && Number.isFinite(array[k]) ? ` \u00b1 ${shown(array[k], 2)}` : "");

function reading(file, series, k) {
  const value = series.values[k];
  if (file.origin[k] === MISSING) return "missing";
  if (series.unresolved?.[k]) return "not resolved: the loss lies above its level";
  if (!Number.isFinite(value) && file.origin[k] === INTERPOLATED) return "left empty";
  if (!Number.isFinite(value)) return `diverged (${shown(value)})`;
  return shown(value) + error(series.stderr, k);
}

function metricLines(file, k) {
  return file.series.map((series) => [named(series), reading(file, series, k)]);
}

function coordinates(file, i, j) {
  const alpha = `alpha ${shown(file.axes[0][i])}`;
  return isSurface ? `${alpha}, beta ${shown(file.axes[1][j])}` : alpha;
}

function hoverText(file, k) {
  const i = Math.floor(k / file.columns);
  const lines = metricLines(file, k).map(([name, text]) => `${escaped(name)} ${text}`);
  const how = file.origin[k] === INTERPOLATED ? ["interpolated"] : [];
  return [coordinates(file, i, k % file.columns), ...lines, ...how].join("<br>");
}

// Made once a file: the same for every metric and scale.
function hoverTexts(file) {
  file.texts ??= reversedRows(file.origin, file.rows, file.columns, (_, k) => hoverText(file, k));
  return file.texts;
}

function diverged(file, series) {
  let count = 0;
  for (let k = 0; k < series.values.length; k += 1) {
    if (file.origin[k] === EVALUATED && !Number.isFinite(series.values[k])) count += 1;
  }
  return count;
}

function missing(file) {
  return file.origin.reduce((count, origin) => count + (origin === MISSING), 0);
}

function unresolved(file, series) {
  return series.values.reduce((count, value, k) => count + (file.origin[k] === INTERPOLATED && !Number.isFinite(value)), 0);
}

const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
