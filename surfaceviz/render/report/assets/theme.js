// Colours of the page's own style, light or dark, and what all drawings share.

const NARROW = matchMedia("(max-width: 45rem)");
const TOUCH = matchMedia("(pointer: coarse)");
const DARK = matchMedia("(prefers-color-scheme: dark)");
const DASHES = ["solid", "dash", "dot", "dashdot"];
const SIGNED = "RdBu";
const CONFIG = {
  responsive: true,
  displaylogo: false,
  scrollZoom: false,
  plotlyServerURL: "",
  modeBarButtons: [["toImage", "resetScale2d"]],
  toImageButtonOptions: { filename: "surface", scale: 2 },
};
// plotly would draw four times the pixels, which takes a second a frame where there is no GPU
const SCENE_CONFIG = { ...CONFIG, modeBarButtons: [["toImage"]], plotGlPixelRatio: Math.max(1, devicePixelRatio) };

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const lineColour = (k) => data.colours.lines[k % data.colours.lines.length];

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
