"""Baseline: the records' own arrays, against what a real Chromium draws of them; no request may leave the page."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from pages import bowl
from playwright.sync_api import Browser, Page, sync_playwright

import surfaceviz
from surfaceviz.records import Slice

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ARGUMENTS = [
    "--no-sandbox",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
LOCAL = ("file:", "data:", "blob:")
SLOW = ("GPU stall due to ReadPixels", "Multiple readback operations")  # Chromium on how fast plotly reads pixels
EVIL = "<img src=x onerror='window.ran=1'><script>window.ran=1&lt;b&gt;"  # without "/", which names groups in HDF5
WIDE: Any = {"width": 1000, "height": 700}
RICH, OTHER = bowl((9, 5), rich=True), bowl((11, 7), scale=0.5)
BEGINNING = """() => {
    const set = (id, value) => {
        const each = document.getElementById(id);
        each.value = value;
        each.dispatchEvent(new Event(each.type === "range" ? "input" : "change", {bubbles: true}));
    };
    set("split", "train");
    set("metric", "loss");
    set("clip-value", "");
    set("shade", "");
    set("point", "");
    set("at-alpha", "7");  // of the 17 coordinates of either file: 0
    set("at-beta", "3");
    document.querySelector("input[value=linear]").click();
    document.querySelector("[data-view=reset]").click();
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("these tests need Chromium; install it: apt-get install chromium (or: -m 'not browser')")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


@contextmanager
def opened(browser: Browser, *surfaces: Slice | Path, **options: Any) -> Iterator[tuple[Page, list[str]]]:
    """Yield the page of a report once it is drawn, and the list of what goes wrong: errors, messages, requests."""
    surfaceviz.report(*surfaces, output="report.html")
    wrong: list[str] = []
    options = {"viewport": WIDE, **options}
    with browser.new_context(**options) as context:
        page = context.new_page()
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("request", lambda request: wrong.extend([] if request.url.startswith(LOCAL) else [request.url]))
        page.goto(Path("report.html").resolve().as_uri())
        settle(page, 0)
        yield page, wrong
        check(wrong)


def check(wrong: list[str]) -> None:
    assert [each for each in wrong if not any(words in each for words in SLOW)] == []


@pytest.fixture(scope="module")
def shared(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, list[str]]]:
    """Yield one page of two surfaces, since Chromium takes seconds to begin to draw in 3-D without a GPU."""
    with contextlib.chdir(tmp_path_factory.mktemp("shared")), opened(browser, RICH, OTHER) as both:
        yield both


@pytest.fixture
def page(shared: tuple[Page, list[str]]) -> Iterator[Page]:
    """Yield the shared page as it was in the beginning, on a linear scale; nothing may have gone wrong at the end."""
    page, wrong = shared
    with redrawn(page):
        page.evaluate(BEGINNING)
    quiet = 0
    while quiet < 3:  # several drawings were asked for, the sliders' with the next frame
        drawn = page.evaluate("document.body.dataset.drawn")
        page.wait_for_timeout(100)
        quiet = quiet + 1 if page.evaluate("document.body.dataset.drawn") == drawn else 0
    yield page
    check(wrong)


def settle(page: Page, drawn: int) -> int:
    """Wait until the page has been drawn more often than before, and return how often."""
    page.wait_for_function("before => Number(document.body.dataset.drawn) > before", arg=drawn)
    return int(page.evaluate("Number(document.body.dataset.drawn)"))


@contextmanager
def redrawn(page: Page) -> Iterator[None]:
    before = int(page.evaluate("Number(document.body.dataset.drawn)"))
    yield
    settle(page, before)


def trace(page: Page, selector: str, meta: str, panel: int = 0) -> Any:
    """Return a trace of a drawing as plotly holds it, its arrays as lists."""
    return page.evaluate(
        """([selector, meta, panel]) => {
            const plain = (x) => ArrayBuffer.isView(x) ? Array.from(x) : Array.isArray(x) ? x.map(plain) : x;
            const found = document.querySelectorAll(selector)[panel].data.find((trace) => trace.meta === meta);
            return found && Object.fromEntries(Object.entries(found).map(([key, value]) => [key, plain(value)]));
        }""",
        [selector, meta, panel],
    )


def layout(page: Page, selector: str, panel: int = 0) -> Any:
    return page.evaluate(
        "([s, k]) => JSON.parse(JSON.stringify(document.querySelectorAll(s)[k].layout))", [selector, panel]
    )


def array(rows: Any) -> Any:
    return np.array(rows, np.float64)  # null becomes NaN


def test_surface_and_contour_hold_the_transposed_values_on_one_scale(page: Page) -> None:
    for k, surface in enumerate((RICH, OTHER)):
        for selector, meta in ((".solid", "surface"), (".flat", "values")):
            drawn = trace(page, selector, meta, k)
            np.testing.assert_allclose(array(drawn["z"]), surface.values["train_loss"].T, rtol=1e-6)
            np.testing.assert_allclose(drawn["x"], surface.axes[0])
            np.testing.assert_allclose(drawn["y"], surface.axes[1])
    bounds = [(drawn["cmin"], drawn["cmax"]) for drawn in (trace(page, ".solid", "surface", k) for k in (0, 1))]
    assert bounds[0] == bounds[1] == pytest.approx((0.1, 41.1))
    heights = [layout(page, ".solid", k)["scene"]["zaxis"]["range"] for k in (0, 1)]
    assert heights[0] == heights[1]


def test_webgl_draws(page: Page) -> None:
    """The pixels that the canvas shows: many colours, of viridis under light."""
    seen = page.locator(".solid canvas").first.screenshot()
    pixels = matplotlib.image.imread(io.BytesIO(seen))[..., :3]
    assert len(np.unique((pixels * 255).astype(np.uint8).reshape(-1, 3), axis=0)) > 500
    assert pixels.std() > 0.1


def test_a_wide_loss_begins_on_a_log_scale_and_each_switch_changes_both_drawings(page: Page) -> None:
    with redrawn(page):
        page.check("input[value=log]")
    drawn = array(trace(page, ".flat", "values")["z"])
    np.testing.assert_allclose(drawn, np.log10(RICH.values["train_loss"].T), rtol=1e-5)
    with redrawn(page):
        page.check("input[value=linear]")
    for split, metric in (("test", "loss"), ("test", "accuracy"), ("train", "accuracy")):
        with redrawn(page):
            page.select_option("#split", split)
        with redrawn(page):
            page.select_option("#metric", metric)
        for selector, meta in ((".solid", "surface"), (".flat", "values")):
            drawn = array(trace(page, selector, meta)["z"])
            np.testing.assert_allclose(drawn, RICH.values[f"{split}_{metric}"].T, rtol=1e-6)
        assert f"{split} {metric}" in page.inner_text(".caption >> nth=0")


def test_the_rise_and_the_clip(page: Page) -> None:
    with redrawn(page):
        page.select_option("#metric", "rise of the loss")
    rise = RICH.values["train_loss"].T - 0.1
    np.testing.assert_allclose(array(trace(page, ".solid", "surface")["z"]), rise, rtol=1e-6, atol=1e-12)
    with redrawn(page):
        page.fill("#clip-value", "7.5")
        page.keyboard.press("Enter")
    ends = array(trace(page, ".solid", "surface")["z"])  # the surface ends at the clip, without a lid
    np.testing.assert_allclose(ends, np.where(rise > 7.5, np.nan, rise), rtol=1e-6, atol=1e-12)
    flat = trace(page, ".flat", "values")  # bands end where they are, not at points beside
    np.testing.assert_allclose(array(flat["z"]), rise, rtol=1e-6, atol=1e-12)
    assert flat["zmax"] == pytest.approx(7.5)
    assert "Clipped: values above 7.5" in page.inner_text("#note")
    with redrawn(page):
        page.check("input[value=log]")
    assert "Values at or below 0 have no logarithm" in page.inner_text("#note")
    with redrawn(page):
        page.focus("#clip")
        page.keyboard.press("ArrowLeft")
    assert trace(page, ".solid", "surface")["cmax"] < np.log10(7.5)
    with redrawn(page):
        page.keyboard.press("End")
    assert trace(page, ".solid", "surface")["cmax"] == pytest.approx(np.log10(41))
    assert "Clipped" not in page.inner_text("#note")


def point_of(page: Page, alpha: float, beta: float) -> tuple[float, float]:
    """Return where a point of the first contour is on the screen."""
    page.evaluate("document.querySelector('.flat').scrollIntoView({block: 'center'})")
    x, y = page.evaluate(
        """(place) => {
            const gd = document.querySelector(".flat");
            const {left, top} = gd.getBoundingClientRect();
            const [x, y] = [gd._fullLayout.xaxis, gd._fullLayout.yaxis];
            return [left + x._offset + x.d2p(place[0]), top + y._offset + y.d2p(place[1])];
        }""",
        [alpha, beta],
    )
    return x, y


def hover(page: Page, alpha: float, beta: float) -> None:
    x, y = point_of(page, alpha, beta)
    page.mouse.move(x - 3, y)
    page.mouse.move(x, y, steps=3)
    page.locator(".flat .hoverlayer .hovertext").first.wait_for()


def test_hovering_reads_coordinates_every_metric_and_its_error(page: Page) -> None:
    hover(page, RICH.axes[0][2], RICH.axes[1][3])
    text = page.locator(".flat .hoverlayer .hovertext").first.text_content() or ""
    value = RICH.values["train_loss"][2, 3]
    for words in (
        "alpha \N{MINUS SIGN}0.5, beta 1.25",
        f"train loss {value:.5g} \N{PLUS-MINUS SIGN} {0.01 * value:.2g}",
        f"train rise of the loss {value - 0.1:.5g} \N{PLUS-MINUS SIGN} {0.02 * value:.2g}",
        f"test loss {value + 0.25:.5g} \N{PLUS-MINUS SIGN} {0.01 * (value + 0.25):.2g}",
        "train accuracy ",
        "test accuracy ",
    ):
        assert words in text
    solid = trace(page, ".solid", "surface")
    assert solid["hoverinfo"] == "text"
    assert solid["hovertext"][3][2].startswith("alpha \N{MINUS SIGN}0.5, beta 1.25<br>train loss")


def test_cut_sliders_work_by_keyboard_and_move_lines_curves_and_words(page: Page) -> None:
    page.focus("#at-beta")
    for _ in range(4):  # to a place of the first file's own: 1.25
        with redrawn(page):
            page.keyboard.press("ArrowRight")
    words = page.inner_text("#at-beta-value")
    assert page.get_attribute("#at-beta", "aria-valuetext") == f"beta {words}"
    j = int(np.argmin(np.abs(RICH.axes[1] - float(words))))
    assert j > 1
    assert trace(page, ".flat", "cut-0")["y"] == [RICH.axes[1][j]] * 2
    assert set(trace(page, ".solid", "cut-0")["y"]) == {RICH.axes[1][j]}
    loss = RICH.values["train_loss"]
    np.testing.assert_allclose(trace(page, "#curves .drawing", "curve")["y"], loss[:, j], rtol=1e-6)
    band = trace(page, "#curves .drawing", "band")
    assert max(y for y in band["y"] if y is not None) == pytest.approx(1.02 * loss[0, j])
    with redrawn(page):
        page.focus("#at-alpha")
        page.keyboard.press("Home")
    np.testing.assert_allclose(trace(page, "#curves .drawing", "curve", 1)["y"], loss[0], rtol=1e-6)
    assert f"train loss: 1 {loss[0, j]:.5g} \N{PLUS-MINUS SIGN}" in page.inner_text("#status")
    assert f"alpha \N{MINUS SIGN}1, beta {RICH.axes[1][j]:g}" in page.inner_text("#status")
    assert f"{loss[0, j]:.5g}" in page.inner_text("#readings")
    assert page.get_attribute("#status", "aria-live") == "polite"


def test_spectra_are_chosen_by_list_and_by_click_and_their_point_lights_up(page: Page) -> None:
    assert page.is_hidden("#spectrum")
    before = trace(page, ".flat", "points")
    assert before["text"] == ["1", "2"]
    with redrawn(page):
        page.select_option("#point", "1")
    after = trace(page, ".flat", "points")
    assert after["marker"]["color"][1] != before["marker"]["color"][1]
    assert after["marker"]["color"][0] == before["marker"]["color"][0]
    assert trace(page, ".solid", "points")["marker"]["color"] == after["marker"]["color"]
    assert "not a critical point" in page.inner_text("#facts")
    rows = page.locator("#eigenvalues tbody tr").all_inner_texts()
    assert [row.split()[0] for row in rows] == ["30", "4", "\N{MINUS SIGN}0.5"]
    assert [row.split()[2] for row in rows] == ["yes", "no", "yes"]
    assert trace(page, "#density", "density") is None
    hover(page, 0, 0)
    with redrawn(page):
        page.mouse.down()
        page.mouse.up()
    assert page.input_value("#point") == "0"
    assert len(trace(page, "#density", "density")["x"]) == 600
    assert "22 \N{PLUS-MINUS SIGN} 2.2 (95% by Student's t, 3 probes)" in page.inner_text("#facts")


def test_clicking_a_surface_cuts_it_there(page: Page) -> None:
    hover(page, -0.5, 1.25)
    with redrawn(page):
        page.mouse.down()
        page.mouse.up()
    assert page.inner_text("#at-alpha-value") == "\N{MINUS SIGN}0.5"
    assert page.inner_text("#at-beta-value") == "1.25"


def test_the_map_shades_the_contour_and_its_lines_stay(page: Page) -> None:
    assert RICH.hessian_map is not None
    assert trace(page, ".flat", "shade") is None
    with redrawn(page):
        page.select_option("#shade", "max")
    np.testing.assert_allclose(array(trace(page, ".flat", "shade")["z"]), RICH.hessian_map.lambda_max.T)
    assert trace(page, ".flat", "values")["contours"]["coloring"] == "none"
    assert trace(page, ".flat", "shade", 1) is None  # the other file has no map
    with redrawn(page):
        page.select_option("#shade", "min")
    assert trace(page, ".flat", "shade")["zmin"] == -trace(page, ".flat", "shade")["zmax"]  # both signs


def test_cameras_are_linked_and_have_buttons(page: Page) -> None:
    start = layout(page, ".solid")["scene"]["camera"]["eye"]
    with redrawn(page):
        page.click("[data-view=top]")
    eyes = [layout(page, ".solid", k)["scene"]["camera"]["eye"] for k in (0, 1)]
    assert eyes[0] == eyes[1] != start
    with redrawn(page):
        page.evaluate(
            "() => { Plotly.relayout(document.querySelector('.solid'), "
            "{'scene.camera': {eye: {x: 1, y: 1, z: 1}, up: {x: 0, y: 0, z: 1}, center: {x: 0, y: 0, z: 0}}}); }"
        )
    assert layout(page, ".solid", 1)["scene"]["camera"]["eye"] == {"x": 1, "y": 1, "z": 1}
    for view in ("front", "left", "right", "nearer", "further", "reset"):
        before = layout(page, ".solid", 1)["scene"]["camera"]["eye"]
        with redrawn(page):
            page.focus(f"[data-view={view}]")
            page.keyboard.press("Enter")
        assert layout(page, ".solid", 1)["scene"]["camera"]["eye"] != before
    assert layout(page, ".solid", 1)["scene"]["camera"]["eye"] == start


def seen_from(page: Page, panel: int) -> Any:
    """Return where a surface is seen from: after a drag plotly's layout does not tell."""
    return page.evaluate("k => document.querySelectorAll('.solid')[k]._fullLayout.scene._scene.getCamera().eye", panel)


def test_a_drag_turns_all_surfaces_and_a_click_on_one_cuts_it(page: Page) -> None:
    """With a real mouse: plotly calls every frame of a drag a click."""
    with redrawn(page):
        page.click("[data-view=top]")  # where the surface fills the middle
    page.evaluate("document.querySelector('.solid').scrollIntoView({block: 'center'})")
    box = page.locator(".solid").first.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def place_mouse(x: float, y: float) -> None:
        page.mouse.move(x - 10, y)
        page.mouse.move(x, y, steps=10)
        page.locator(".solid .hovertext").first.wait_for(timeout=5000)  # so that it is on the surface

    start = seen_from(page, 0)
    place_mouse(x + 20, y - 20)
    with redrawn(page):
        page.mouse.down()
        page.mouse.move(x + 50, y - 40, steps=6)
        page.mouse.up()
    eyes = [seen_from(page, k) for k in (0, 1)]
    assert eyes[0] != start
    assert eyes[0] == pytest.approx(eyes[1])
    controls = ("#at-alpha", "#at-beta", "#point")
    before = [page.input_value(each) for each in controls]
    assert before == ["7", "3", ""]  # a drag is no click
    place_mouse(x + 30, y - 30)
    with redrawn(page):
        page.mouse.down()
        page.mouse.up()
    assert [page.input_value(each) for each in controls] != before


def test_dark_mode_changes_ground_and_drawings(page: Page) -> None:
    def seen() -> tuple[str, str]:
        targets = str(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        return targets, str(layout(page, ".flat")["font"]["color"])

    light = seen()
    with redrawn(page):
        page.emulate_media(color_scheme="dark")
    dark = seen()
    assert (light[0], dark[0]) == ("rgb(255, 255, 255)", "rgb(21, 23, 27)")
    assert light[1] != dark[1]
    with redrawn(page):
        page.emulate_media(color_scheme="light")
    assert seen() == light


@pytest.mark.parametrize("width", [360, 768])
def test_nothing_overflows_a_narrow_page(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    with redrawn(page):
        page.select_option("#point", "0")
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    # plotly draws anew at the new width, a moment later
    page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width, timeout=5000)
    boxes = [box for box in (each.bounding_box() for each in page.locator(".pair figure").all()) if box]
    assert len(boxes) == 4
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    if width == 360:
        assert boxes[1]["y"] >= boxes[0]["y"] + boxes[0]["height"]  # one under the other
    page.set_viewport_size(WIDE)


def test_every_control_has_a_name_and_is_reached_by_tab(page: Page) -> None:
    fields = "[...document.querySelectorAll('input, select')]"
    assert page.evaluate(f"{fields}.filter((each) => each.labels.length === 0).map((each) => each.id)") == []
    page.focus(".skip")
    seen = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.id || document.activeElement.dataset.view"))
    controls = {
        "split",
        "metric",
        "clip",
        "clip-value",
        "shade",
        "reset",
        "top",
        "front",
        "at-beta",
        "at-alpha",
        "point",
    }
    assert controls <= seen


def test_path_marks_and_holes_lie_where_they_belong(browser: Browser) -> None:
    surface = bowl((9, 5), rich=True)
    surface.values["train_loss"][0, 0] = np.inf
    surface.values["train_loss"][8, 4] = np.nan
    surface.origin[8, 4] = 0
    with opened(browser, surface) as (page, _):
        with redrawn(page):
            page.check("input[value=linear]")
        path = trace(page, ".solid", "trajectory")
        assert path["x"] == [-0.75, -0.5, -0.25, 0]
        rows = surface.values["train_loss"]
        # beta = 0 lies at a third between beta = -0.25 and 0.5
        heights = (2 * rows[[1, 2, 3, 4], 1] + rows[[1, 2, 3, 4], 2]) / 3
        np.testing.assert_allclose(path["z"], heights, atol=0.01 * 41)
        assert "step 100<br>off the slice by 2<br>train loss 5" in path["hovertext"]
        assert trace(page, ".flat", "trajectory")["x"] == path["x"]
        assert trace(page, ".flat", "marks")["hovertext"][1].startswith("other.pt")
        holes = array(trace(page, ".flat", "holes")["z"])
        assert (holes[0, 0], holes[4, 8], np.isfinite(holes).sum()) == (2, 1, 2)
        z = array(trace(page, ".solid", "surface")["z"])
        assert np.isnan([z[0, 0], z[4, 8]]).all()
        texts = trace(page, ".flat", "values")["hovertext"]
        assert "diverged (infinite)" in texts[0][0]
        assert "missing" in texts[4][8]
        assert "grey: 1 point diverged; light grey: 1 point missing" in page.inner_text(".caption")


def test_a_zero_minimum_and_a_single_value_get_a_scale_that_shows_them(browser: Browser) -> None:
    """A log scale begins at the least value above an exact 0; that of the single value 1.6e14 begins at 0."""
    surface = bowl((9, 5))
    loss = surface.values["train_loss"]
    loss -= 0.1
    loss[4, 2] = 0
    with opened(browser, surface) as (page, _):
        assert page.is_checked("input[value=log]")
        drawn = trace(page, ".solid", "surface")
        assert drawn["cmin"] == pytest.approx(np.log10(loss[loss > 0].min()))
        assert array(trace(page, ".flat", "values")["z"])[2, 4] == pytest.approx(drawn["cmin"])
        marks = [trace(page, selector, "marks")["marker"]["size"] for selector in (".solid", ".flat")]
        assert marks[0] == marks[1] / 2  # in 3-D marks appear twice as large, and would hide the minimum
        assert "Values at or below 0 have no logarithm" in page.inner_text("#note")
    loss[:] = np.inf
    loss[4, 2] = 1.6e14
    with opened(browser, surface) as (page, _):
        assert (scale := layout(page, ".solid")["scene"]["zaxis"])["ticktext"][0] == "0"
        assert scale["ticktext"][-1] == "3e+14"
        assert len(set(scale["ticktext"])) == len(scale["tickvals"])


def test_curves_of_several_files_are_overlaid(browser: Browser) -> None:
    with opened(browser, bowl((21,), rich=True), bowl((11,), scale=3)) as (page, _):
        assert page.is_hidden("#panels")
        assert page.is_hidden("#camera")
        names = page.evaluate("document.querySelector('#curves .drawing').data.map((each) => each.name)")
        assert [name for name in names if name] == ["1: test loss", "1: train loss", "2: test loss", "2: train loss"]
        assert trace(page, "#curves .drawing", "trajectory")["y"][3] == pytest.approx(0.1)
        with redrawn(page):
            page.focus("#at-alpha")
            page.keyboard.press("End")
        assert "1 1.1 \N{PLUS-MINUS SIGN} 0.011 at alpha 1; 2 3.1" in page.inner_text("#status")
        with redrawn(page):
            page.check("input[value=linear]")
        assert layout(page, "#curves .drawing")["yaxis"]["type"] == "linear"


def test_hostile_names_are_harmless_text(browser: Browser) -> None:
    surface = bowl((5, 4), rich=True)
    loss = surface.values["train_loss"]
    hostile = replace(
        surface,
        values={"train_loss": loss, EVIL: loss},
        stderr={},
        rise_stderr={},
        marks=(replace(surface.marks[0], name=EVIL),),
        provenance={"problem": EVIL, "splits": "train", EVIL: EVIL},
        spectra=(replace(surface.spectra[0], kind=EVIL, reason=EVIL, notes=(EVIL,)),),
    )
    path = Path(f"{EVIL}.h5")
    surfaceviz.store.write(path, hostile)
    with opened(browser, path) as (page, _):
        assert [page.inner_text(each) for each in ("h1", ".panel h2")] == [EVIL, EVIL]
        with redrawn(page):
            page.select_option("#point", "0")
        assert EVIL in page.inner_text("#facts")
        with redrawn(page):
            page.select_option("#split", "")
        assert page.locator(".flat .cbtitle").text_content() == EVIL
        assert EVIL in (page.locator("#provenance").text_content() or "")
        hover(page, 0.5, 0.5)
        assert EVIL in (page.locator(".flat .hoverlayer .hovertext").first.text_content() or "")
        assert page.evaluate("window.ran") is None
        assert page.locator("img[src=x]").count() == 0
        assert page.locator("script").count() == 3


def test_a_large_grid_is_thinned_and_says_so(browser: Browser) -> None:
    with opened(browser, bowl((1001, 1001))) as (page, _):
        assert "1001 x 1001 points; the page shows 14" in page.inner_text(".caption")
        assert "every 7th" in page.inner_text(".caption")
        assert len(trace(page, ".solid", "surface")["x"]) < 160
