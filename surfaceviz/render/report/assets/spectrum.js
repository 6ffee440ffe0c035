// The spectrum that is chosen: its density, its eigenvalues, and what else is known of its point.

function densityTraces(spectrum) {
  const hue = lineColour(spectrum.file);
  const { floor, ceiling } = spectrum.axis;
  const traces = [];
  if (spectrum.density !== null) {
    const [u, x, y] = ["u", "x", "y"].map((key) => unpack(spectrum.density[key]));
    traces.push({
      type: "scatter",
      mode: "lines",
      meta: "density",
      name: "density",
      x: u,
      y: Array.from(y, (value) => (value < floor ? floor : value)),
      fill: "tozeroy",
      line: { color: hue, width: 2 },
      hovertext: Array.from(x, (value, k) => `eigenvalue ${shown(value, 3)}<br>${shown(y[k], 3)} of all a decade`),
      hoverinfo: "text",
    });
  }
  const [foot, head] = spectrum.density === null ? [0, 1] : [floor, floor * (ceiling / floor) ** 0.3];
  return [...traces, ...stemTraces(spectrum, foot, head)];
}

function stemTraces(spectrum, foot, head) {
  const found = spectrum.eigenvalues.filter(({ place }) => place !== null);
  const lines = {
    type: "scatter",
    mode: "lines",
    meta: "stems",
    x: found.flatMap(({ place }) => [place, place, null]),
    y: found.flatMap(() => [foot, head, null]),
    line: { color: colour("ink"), width: 1 },
    hoverinfo: "skip",
    showlegend: false,
  };
  const heads = {
    type: "scatter",
    mode: "markers",
    meta: "eigenvalues",
    name: "eigenvalues (hollow: not converged)",
    x: found.map(({ place }) => place),
    y: found.map(() => head),
    marker: { size: 7, symbol: found.map(({ converged }) => (converged ? "circle" : "circle-open")), color: colour("ink") },
    hovertext: found.map(({ value, residual }) => `eigenvalue ${shown(value)}<br>residual ${shown(residual, 2)}`),
    hoverinfo: "text",
  };
  return [lines, heads];
}

function densityLayout(spectrum) {
  const { range, ticks: places, labels, floor, ceiling } = spectrum.axis;
  const bare = spectrum.density === null;
  const upward = bare
    ? { visible: false, range: [0, 1.15] }
    : { ...axisStyle("share of eigenvalues a decade"), type: "log", range: [Math.log10(floor), Math.log10(ceiling)], dtick: 1 };
  return {
    ...baseLayout(),
    margin: { l: 10, r: 10, t: 10, b: 10 },
    xaxis: { ...axisStyle(`eigenvalue of ${escaped(spectrum.symbol)}, symmetric-log`), range, tickmode: "array", tickvals: places, ticktext: labels },
    yaxis: upward,
    showlegend: true,
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 11 } },
    uirevision: String(state.point),
  };
}

function verdict({ converged, zero }) {
  return zero ? "0 within the residual" : converged ? "yes" : "no";
}

async function drawSpectrum() {
  const spectrum = state.point === null ? null : data.spectra[state.point];
  byId("spectrum").hidden = spectrum === null;
  if (spectrum === null) return;
  const rows = [...spectrum.eigenvalues].reverse().map((each) => [shown(each.value ?? NaN, 6), shown(each.residual ?? NaN, 2), verdict(each)]);
  const caption = `Eigenvalues of ${spectrum.symbol}${spectrum.left_out ? `, ${spectrum.left_out}` : ""}`;
  fillTable(byId("facts"), { caption: pointWords(spectrum), rows: spectrum.facts });
  fillTable(byId("eigenvalues"), { caption, head: ["eigenvalue", "residual", "converged"], rows });
  const div = byId("density");
  div.parentElement.hidden = spectrum.axis === null;
  div.setAttribute("aria-label", `Density of eigenvalues, ${pointWords(spectrum)}`);
  if (spectrum.axis === null) return;
  await Plotly.react(div, densityTraces(spectrum), densityLayout(spectrum), CONFIG);
  await Plotly.Plots.resize(div); // it was not told of what happened to the window while it was hidden
}

function pointWords(spectrum) {
  const number = spectrum.at === null ? "off the slice" : spectrum.number;
  const matrix = spectrum.symbol === "H" ? "" : `, ${spectrum.symbol}`;
  return `${number}: ${files[spectrum.file].name}, ${spectrum.where}${matrix}: ${spectrum.kind}`;
}
