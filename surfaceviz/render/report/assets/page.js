// The page: panels made once, redrawn when anything changes.

const panels = isSurface ? files.map(makePanel) : [];

function makePanel(file) {
  const article = byId("panel").content.cloneNode(true).firstElementChild;
  const [scene, contour] = article.querySelectorAll(".drawing");
  article.querySelector("h2").textContent = files.length > 1 ? `${file.name}: ${file.title}` : file.title;
  byId("panels").append(article);
  return { file, article, scene, contour, solid: true };
}

function say(panel, words) {
  panel.solid = false;
  panel.scene.textContent = words;
  panel.scene.style.height = "auto";
}

function checkScenes() {
  const able = hasWebGL();
  panels.forEach((panel, k) => {
    const thin = Math.min(panel.file.rows, panel.file.columns) < 2;
    if (thin) say(panel, "One row of points makes no surface.");
    else if (!able) say(panel, "This browser has no WebGL: only the contours are drawn.");
    else if (k >= data.scenes) say(panel, `In 3-D the first ${data.scenes} files alone are drawn: browsers allow few such drawings.`);
  });
}

function caption(file) {
  const series = seriesOf(file);
  if (series === null) return `no ${state.split} ${titleOfMetric()} in this file`;
  const [bad, none, hidden] = [diverged(file, series), missing(file), unresolved(file, series)];
  return [
    named(series),
    file.thinned,
    file.unaudited ? "unfinished, not audited" : "",
    bad ? `grey: ${plural(bad, "point")} diverged` : "",
    none ? `light grey: ${plural(none, "point")} missing` : "",
    hidden ? `palest: ${plural(hidden, "point")} not resolved, the loss lies above its level` : "",
    file.marks.length ? "diamonds: marked models" : "",
    showsMinima(file) ? "triangles: minima, numbered where they count; crosses: their passes" : "",
    file.trajectory ? "orange line: the training's path" : "",
  ].filter(Boolean).join("; ");
}

async function drawPanel(panel, scale) {
  const { file, scene, contour, article } = panel;
  article.querySelector(".caption").textContent = caption(file);
  const z = placedRows(file, scale.cut);
  article.querySelector(".pair").hidden = z === null;
  if (z === null) return;
  const words = `${named(seriesOf(file))} of ${file.name}, ${scale.log ? "log" : "linear"} scale`;
  contour.setAttribute("aria-label", `Contours of ${words}`);
  scene.setAttribute("aria-label", `Surface of ${words}`);
  const flat = Plotly.react(contour, contourTraces(file, scale, placedRows(file, scale.open)), contourLayout(file), CONFIG);
  const solid = panel.solid && Plotly.react(scene, surfaceTraces(file, scale, z), surfaceLayout(file, scale), SCENE_CONFIG);
  await Promise.all([flat, solid]);
  connect(panel);
}

function connect(panel) {
  if (panel.connected) return;
  panel.connected = true;
  panel.contour.on("plotly_click", ({ points }) => clicked(panel, points[0]));
  if (!panel.solid) return;
  hearClicks(panel);
  panel.scene.on("plotly_relayout", (change) => follow(panel, change["scene.camera"]));
}

// In 3-D plotly calls it a click whenever it draws a frame with the button down, also in a drag, and breaks when it is
// told to draw then. A click is what it is elsewhere: down and up at one place, and answered after that.
const STILL = 4; // pixels
function hearClicks(panel) {
  let under = null;
  let from = [NaN, NaN];
  const keep = ({ points }) => { [under] = points; };
  panel.scene.on("plotly_hover", keep);
  panel.scene.on("plotly_click", keep);
  panel.scene.on("plotly_unhover", () => { under = null; });
  panel.scene.addEventListener("pointerdown", (event) => { from = [event.clientX, event.clientY]; }, true);
  panel.scene.addEventListener("pointerup", (event) => {
    const still = Math.hypot(event.clientX - from[0], event.clientY - from[1]) < STILL;
    if (still && under !== null) setTimeout(clicked, 0, panel, under);
  }, true);
}

// A numbered point shows its spectrum; anywhere else the cuts go there.
function clicked({ file }, point) {
  const { meta } = point.data;
  const numbered = pointsOf(file).find(({ spectrum: { at } }) => at[0] === point.x && at[1] === point.y);
  if (numbered) return choosePoint(numbered.index); // also where theta or the path lies over the number
  if (!["surface", "values", "shade", "holes"].includes(meta)) return undefined;
  state.cut = [point.x, point.y].map((x, k) => STOPS[k][nearest(STOPS[k], x)]);
  showSliders();
  return drawCut();
}

// When a surface was turned the others turn too; they say so in their turn, which changes nothing any more.
let following = false;
function follow(source, camera) {
  if (!camera?.eye || following || isNear(camera.eye, eye)) return;
  setTimeout(setEye, 0, camera.eye, source);
}

const isNear = (a, b) => ["x", "y", "z"].every((axis) => Math.abs(a[axis] - b[axis]) < 1e-6);

async function setEye(next, source = null) {
  eye = { ...next };
  following = true;
  const others = panels.filter((panel) => panel.solid && panel !== source && panel.connected);
  await Promise.all(others.map(({ scene }) => Plotly.relayout(scene, { "scene.camera.eye": eye })));
  following = false;
  finished();
}

function note(scale) {
  const words = [];
  if (scale.empty) words.push("No file has a finite value of this.");
  if (scale.log && scale.below <= 0) words.push("Values at or below 0 have no logarithm: they are drawn where the scale begins.");
  if (scale.top < scale.full) words.push(`Clipped: values above ${shown(scale.top, 4)} are drawn at it; the highest is ${shown(scale.full, 4)}.`);
  byId("note").textContent = words.join(" ");
}

function finishCut() {
  byId("status").textContent = statusWords();
  byId("band").textContent = bandWords();
  drawReadings();
}

async function drawNow() {
  const scale = makeScale();
  showControls(scale);
  note(scale);
  finishCut();
  await Promise.all([...panels.map((panel) => drawPanel(panel, scale)), drawCurves(scale), drawSpectrum()]);
}

// What changes while the page is being drawn is drawn once, after that.
let drawing = null;
let stale = false;
function draw() {
  stale = true;
  drawing ??= drawUntilSettled().finally(() => { drawing = null; });
  return drawing;
}

async function drawUntilSettled() {
  while (stale) {
    stale = false;
    await drawNow();
  }
  finished();
}

// The count of finished drawings, for tests.
function finished() {
  document.body.dataset.drawn = String(Number(document.body.dataset.drawn ?? 0) + 1);
}

// A slider moves only the lines: the surfaces stay as they are.
async function drawCut() {
  const scale = makeScale();
  finishCut();
  await Promise.all([...panels.flatMap((panel) => moveCut(panel, scale)), drawCurves(scale)]);
  finished();
}

function moveCut({ file, scene, contour, solid }, scale) {
  const z = placedRows(file, scale.cut);
  if (z === null) return [];
  const lift = LIFT * (scale.high - scale.low);
  return [0, 1].flatMap((k) => [
    moveTrace(contour, contourCut(file, k)),
    solid && moveTrace(scene, surfaceCut(file, z, k, lift)),
  ]);
}

function moveTrace(div, { meta, x, y, z }) {
  const index = div.data.findIndex((trace) => trace.meta === meta);
  return Plotly.restyle(div, { x: [x], y: [y], ...(z && { z: [z] }) }, [index]);
}

function start() {
  const count = isSurface ? 2 : 1;
  byId("curves").append(...Array.from({ length: count }, () => {
    const figure = element("figure");
    figure.append(element("div", undefined, { class: "drawing", role: "img" }));
    return figure;
  }));
  if (!isSurface) {
    byId("panels").hidden = true;
    byId("cut-title").textContent = "The slice";
    byId("at-beta").parentElement.hidden = true;
    document.querySelector("[for=at-alpha]").textContent = "Read at alpha = ";
  }
  fillSummary();
  fillControls();
  fillProvenance();
  fillVerdicts();
  fillMinima();
  fillSharpness();
  checkScenes();
  listen();
  for (const query of [DARK, NARROW]) query.addEventListener("change", draw);
  state.clip = levelOfScale();
  state.log = chooseLog();
  return draw();
}

start().catch((failure) => {
  byId("failure").hidden = false;
  byId("failure").textContent = `The page can't be drawn: ${failure.message}`;
  throw failure;
});
