// Colours of the page's own style, light or dark, and what all drawings share.

const NARROW = matchMedia("(max-width: 45rem)");
const TOUCH = matchMedia("(pointer: coarse)");
const DARK = matchMedia("(prefers-color-scheme: dark)");
const DASHES = ["solid", "dash", "dot", "dashdot"];
const SIGNED = "RdBu";
const CONFIG = {
  responsive: true,
  displaylogo: false,
  displayModeBar: TOUCH.matches ? false : "hover",
  scrollZoom: false,
  plotlyServerURL: "",
  modeBarButtons: [["toImage", "resetScale2d"]],
  toImageButtonOptions: { filename: "surface", scale: 2 },
};
// plotly would draw four times the pixels, which takes a second a frame where there is no GPU
const SCENE_CONFIG = { ...CONFIG, modeBarButtons: [["toImage"]], plotGlPixelRatio: Math.max(1, devicePixelRatio) };

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// On a dark ground the palette begins with its light colours.
const DARK_ORDER = [4, 5, 2, 3, 0, 1];
function lineColour(k) {
  const place = k % data.colours.lines.length;
  return data.colours.lines[DARK.matches ? DARK_ORDER[place] ?? place : place];
}

function axisStyle(title) {
  return {
    title: { text: title, standoff: 8 },
    gridcolor: colour("grid"),
    linecolor: colour("line"),
    zerolinecolor: colour("line"),
    automargin: true,
    exponentformat: "power",
  };
}

function baseLayout() {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: colour("ink") },
    hoverlabel: {
      bgcolor: colour("ground"),
      bordercolor: colour("quiet"),
      font: { color: colour("ink"), size: 12 },
      align: "left",
      namelength: -1,
    },
    dragmode: TOUCH.matches ? false : "zoom", // on a phone a finger scrolls the page
    uirevision: "kept",
    showlegend: false,
  };
}

function halo(size, fill) {
  return { size, color: fill, line: { color: colour("halo"), width: 1 } };
}
