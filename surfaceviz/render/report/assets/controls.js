// The controls, and what each of them changes.

const STEPS = 100; // of the clip's slider

function fillSelect(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => element("option", text, { value })));
  select.value = chosen;
}

const unique = (values) => [...new Set(values)];

function fillMetrics() {
  const metrics = unique(files.flatMap((file) => file.series.filter(({ split }) => split === state.split).map(({ metric }) => metric)));
  if (!metrics.includes(state.metric)) [state.metric] = metrics;
  fillSelect(byId("metric"), metrics.map((metric) => [metric, metric.replaceAll("_", " ")]), state.metric);
}

function fillControls() {
  const splits = unique(files.flatMap((file) => file.series.map(({ split }) => split)));
  [state.split] = splits;
  state.metric = files[0].series.find(({ split, loss }) => split === state.split && loss)?.metric ?? "";
  fillSelect(byId("split"), splits.map((split) => [split, split || "(none)"]), state.split);
  fillMetrics();
  const first = files.find(({ map }) => map !== null);
  byId("shade-label").hidden = !first;
  const shades = Object.entries(first?.map.shades ?? {}).map(([key, { label }]) => [key, label]);
  fillSelect(byId("shade"), [["", "the metric"], ...shades], "");
  byId("camera").hidden = !isSurface;
  byId("spectra").hidden = data.spectra.length === 0;
  fillSelect(byId("point"), [["", "none"], ...data.spectra.map((spectrum, k) => [String(k), pointWords(spectrum)])], "");
  STOPS.forEach((stops, k) => {
    state.cut[k] = stops[nearest(stops, 0)];
    byId(SLIDERS[k]).max = String(stops.length - 1);
  });
}

const SLIDERS = ["at-alpha", "at-beta"];

// Show the state in the controls; the scale is what it came to.
function showControls(scale) {
  const positive = Number.isFinite(extent().positive);
  for (const radio of document.getElementsByName("scale")) {
    radio.checked = (radio.value === "log") === scale.log;
    radio.disabled = radio.value === "log" && !positive;
  }
  const whole = scale.log ? Math.log10(scale.full / scale.bottom) : scale.full - scale.bottom;
  const part = scale.log ? Math.log10(scale.top / scale.bottom) : scale.top - scale.bottom;
  byId("clip").value = whole > 0 ? Math.round((STEPS * part) / whole) : STEPS;
  byId("clip").setAttribute("aria-valuetext", shown(scale.top, 4));
  byId("clip-value").value = Number(scale.top.toPrecision(4));
  showSliders();
}

function showSliders() {
  STOPS.forEach((stops, k) => {
    const words = shown(state.cut[k]);
    byId(SLIDERS[k]).value = nearest(stops, state.cut[k]);
    byId(SLIDERS[k]).setAttribute("aria-valuetext", `${["alpha", "beta"][k]} ${words}`);
    byId(`${SLIDERS[k]}-value`).textContent = words;
  });
}

function clipFromSlider(scale) {
  const share = Number(byId("clip").value) / STEPS;
  if (share >= 1) return null;
  return scale.log ? scale.bottom * (scale.full / scale.bottom) ** share : scale.bottom + share * (scale.full - scale.bottom);
}

function choose(changes) {
  Object.assign(state, changes);
  if ("split" in changes) fillMetrics();
  if ("split" in changes || "metric" in changes) state.clip = levelOfScale();
  state.log = chooseLog();
  return draw();
}

function choosePoint(index) {
  byId("point").value = index === null ? "" : String(index);
  return choose({ point: index });
}

function listen() {
  const on = (id, event, act) => byId(id).addEventListener(event, (happened) => act(happened.target));
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  on("split", "change", ({ value }) => choose({ split: value }));
  on("metric", "change", ({ value }) => choose({ metric: value }));
  on("shade", "change", ({ value }) => choose({ shade: value }));
  on("scale", "change", ({ value }) => choose({ log: value === "log", logAsked: true }));
  on("clip", "input", () => soon(() => choose({ clip: clipFromSlider(makeScale()) })));
  on("clip-value", "change", ({ value }) => choose({ clip: value === "" ? null : Number(value) }));
  on("point", "change", ({ value }) => choosePoint(value === "" ? null : Number(value)));
  SLIDERS.forEach((id, k) => on(id, "input", ({ value }) => {
    state.cut[k] = STOPS[k][Number(value)];
    showSliders();
    soon(drawCut);
  }));
  byId("camera").addEventListener("click", ({ target }) => {
    if (target.dataset.view) setEye(turned(target.dataset.view));
  });
}

// What is asked for many times between two frames is done once.
let asked = null;
function soon(act) {
  if (asked === null) requestAnimationFrame(() => { const latest = asked; asked = null; latest(); });
  asked = act;
}
