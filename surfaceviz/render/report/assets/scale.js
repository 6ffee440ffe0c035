// One scale for all files: heights and colours are "placed" values, clipped, and logarithms on a log scale.

const WIDE = 20; // the span of a loss above which a log scale is taken unasked, as in pictures
const ZERO = 1e-6; // of the highest value: what is smaller next to an exact zero is drawn as 0, as in pictures
const LEVELS = 14;

function extent() {
  let low = Infinity;
  let high = -Infinity;
  let positive = Infinity;
  for (const file of files) {
    const series = seriesOf(file);
    for (const value of [...(series?.values ?? []), ...(series?.bands ?? []).flatMap(({ low: l, high: h }) => [...l, ...h])]) {
      if (!Number.isFinite(value)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
      if (value > 0) positive = Math.min(positive, value);
    }
  }
  return { low, high, positive };
}

// Where colours and heights end unasked: at the highest level of the losses, if there are values on both sides.
function levelOfScale() {
  const levels = files.map((file) => seriesOf(file)?.level ?? Infinity);
  const { low, high } = extent();
  const level = Math.max(...levels);
  return Number.isFinite(level) && low < level && level < high ? level : null;
}

// Where a log scale begins: at the least value above 0.
const bottomOfLog = ({ low, high, positive }) => Math.max(positive, low === 0 ? ZERO * high : 0);
const isWide = (found) => found.low >= 0 && found.high > WIDE * bottomOfLog(found);

function chooseLog() {
  const { low, high, positive } = extent();
  const found = { low, high: Math.min(high, state.clip ?? high), positive };
  const loss = files.some((file) => seriesOf(file)?.loss);
  return Number.isFinite(found.positive) && (state.logAsked ? state.log : loss && isWide(found));
}

function makeScale() {
  const { low, high, positive } = extent();
  if (low > high) return { empty: true, log: false, bottom: 0, top: 1, full: 1, low: 0, high: 1, below: 0, place: () => NaN, open: () => NaN, cut: () => NaN };
  const log = state.log;
  const bottom = log ? bottomOfLog({ low, high, positive }) : low;
  const top = state.clip === null ? high : Math.min(high, Math.max(bottom, state.clip));
  const placed = log ? Math.log10 : (value) => value;
  const open = (value) => (Number.isFinite(value) ? placed(Math.max(bottom, value)) : NaN); // bands end where they are
  const place = (value) => Math.min(placed(top), open(value));
  const cut = (value) => (value > top ? NaN : open(value)); // surfaces end at the clip
  const flat = top - bottom <= 1e-12 * Math.max(Math.abs(top), Math.abs(bottom));
  const room = log ? 0.5 : Math.abs(top) || 0.5; // around a single value, so that its digits show
  const [from, to] = flat ? [place(bottom) - room, place(top) + room] : [place(bottom), place(top)];
  return { empty: false, log, bottom, top, full: high, low: from, high: to, below: log ? low : bottom, place, open, cut };
}

function roundStep(step) {
  const decade = 10 ** Math.floor(Math.log10(step));
  return decade * [1, 2, 5, 10].find((m) => m * decade >= step * 0.999);
}

function multiples(low, high, step) {
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  return Array.from({ length: Math.max(0, count) }, (_, k) => (first + k) * step);
}

function logTicks(low, high) {
  const decades = high - low;
  const steps = decades > 3 ? [1] : decades > 1.2 ? [1, 3] : decades > 0.5 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 7];
  const every = Math.max(1, Math.round(decades / 7));
  const ticks = [];
  for (let e = Math.floor(low); e <= Math.ceil(high); e += 1) {
    if (e % every === 0) ticks.push(...steps.map((m) => Math.log10(m) + e));
  }
  return ticks.filter((place) => place >= low - 1e-9 && place <= high + 1e-9);
}

// Where ticks are and what they say, for a colour bar or the height of a surface.
function ticks(scale) {
  const logs = scale.log ? logTicks(scale.low, scale.high) : [];
  const places = logs.length > 1 ? logs : multiples(scale.low, scale.high, roundStep((scale.high - scale.low) / 6));
  const words = places.map((place) => shown(scale.log ? 10 ** place : place, 3));
  return { tickmode: "array", tickvals: places, ticktext: words };
}

function contourLevels(scale) {
  const size = roundStep((scale.high - scale.low) / LEVELS);
  return { start: Math.ceil(scale.low / size) * size, end: scale.high, size };
}

// The scale of a Hessian map's colours: symmetric about 0 where there are both signs, logarithmic where it is wide.
function shadeScale(key) {
  const values = files.flatMap((file) => Array.from(file.map?.shades[key].values ?? []).filter(Number.isFinite));
  const low = Math.min(...values);
  const high = Math.max(...values);
  if (!values.length) return { place: () => NaN, back: (u) => u, low: 0, high: 1, signed: false };
  if (low < 0) return signedScale(values, Math.max(-low, high));
  if (low > 0 && high > WIDE * low) {
    return { place: Math.log10, back: (u) => 10 ** u, low: Math.log10(low), high: Math.log10(high), log: true };
  }
  return { place: (x) => x, back: (u) => u, low, high: high > low ? high : low + 1 };
}

function signedScale(values, largest) {
  const sizes = values.map(Math.abs).sort((a, b) => a - b);
  const width = Math.min(largest, Math.max(1e-3 * largest, sizes[sizes.length >> 1]));
  const place = (x) => Math.asinh(x / width);
  return { place, back: (u) => width * Math.sinh(u), low: place(-largest), high: place(largest), signed: true };
}

function shadeTicks(scale) {
  if (scale.log) return ticks(scale);
  if (!scale.signed) return {};
  const reach = Math.floor(Math.log10(scale.back(scale.high)));
  const powers = [0, 1, 2].map((k) => 10 ** (reach - k)).filter((x) => scale.place(x) > 0.4);
  const values = [...powers.map((x) => -x), 0, ...powers].sort((a, b) => a - b);
  return { tickmode: "array", tickvals: values.map(scale.place), ticktext: values.map((x) => shown(x, 2)) };
}
