"""Baseline: the records' own arrays, against what a real Chromium draws of them; no request may leave the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import bowl
from playwright.sync_api import Browser, Page, sync_playwright

import surfaceviz
from surfaceviz.records import Slice

pytestmark = pytest.mark.browser

ARGUMENTS = [
    "--no-sandbox",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
LOCAL = ("file:", "data:", "blob:")
EVIL = "<img src=x onerror='window.ran=1'><script>window.ran=1</script>&lt;b&gt;"


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
def opened(browser: Browser, *surfaces: Slice | Path, **options: Any) -> Iterator[Page]:
    """Yield the page of a report once it is drawn; no error, no message, no request may have come at the end."""
    surfaceviz.report(*surfaces, output="report.html")
    wrong: list[str] = []
    options = {"viewport": {"width": 1280, "height": 900}, **options}
    with browser.new_context(**options) as context:
        page = context.new_page()
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("request", lambda request: request.url.startswith(LOCAL) or wrong.append(request.url))
        page.goto(Path("report.html").resolve().as_uri())
        settle(page, 0)
        yield page
        assert [each for each in wrong if "GPU stall due to ReadPixels" not in each] == []


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


def test_surface_and_contour_hold_the_transposed_values_on_one_scale(browser: Browser) -> None:
    surfaces = [bowl((9, 5)), bowl((11, 7), scale=0.5)]
    with opened(browser, *surfaces) as page:
        page.check("input[value=linear]")
        for k, surface in enumerate(surfaces):
            for selector, meta in ((".scene", "surface"), (".contour", "values")):
                drawn = trace(page, selector, meta, k)
                np.testing.assert_allclose(array(drawn["z"]), surface.values["train_loss"].T, rtol=1e-6)
                np.testing.assert_allclose(drawn["x"], surface.axes[0])
                np.testing.assert_allclose(drawn["y"], surface.axes[1])
        bounds = [(drawn["cmin"], drawn["cmax"]) for drawn in (trace(page, ".scene", "surface", k) for k in (0, 1))]
        assert bounds[0] == bounds[1] == pytest.approx((0.1, 41.1))
        heights = [layout(page, ".scene", k)["scene"]["zaxis"]["range"] for k in (0, 1)]
        assert heights[0] == heights[1]


def test_webgl_draws(browser: Browser) -> None:
    with opened(browser, bowl((21, 21))) as page:
        pixels = page.evaluate(
            """async () => {
                const address = await Plotly.toImage(document.querySelector(".scene"), {width: 300, height: 300});
                const image = new Image();
                image.src = address;
                await image.decode();
                const canvas = Object.assign(document.createElement("canvas"), {width: 300, height: 300});
                const context = canvas.getContext("2d");
                context.drawImage(image, 0, 0);
                return Array.from(context.getImageData(0, 0, 300, 300).data);
            }"""
        )
        colours = np.array(pixels, np.uint8).reshape(-1, 4)
        assert len(np.unique(colours[colours[:, 3] == 255][:, :3], axis=0)) > 100  # viridis, shaded


def test_split_metric_scale_and_clip_change_what_is_drawn(browser: Browser) -> None:
    surface = bowl((9, 5))
    with opened(browser, surface) as page:
        assert page.is_checked("input[value=log]")  # the loss spans more than a factor of 20
        np.testing.assert_allclose(
            array(trace(page, ".contour", "values")["z"]), np.log10(surface.values["train_loss"].T), rtol=1e-5
        )
        for split, metric, name in (
            ("test", "loss", "test_loss"),
            ("test", "accuracy", "test_accuracy"),
            ("train", "accuracy", "train_accuracy"),
        ):
            with redrawn(page):
                page.select_option("#split", split)
            with redrawn(page):
                page.select_option("#metric", metric)
            page.check("input[value=linear]")
            for selector, meta in ((".scene", "surface"), (".contour", "values")):
                drawn = array(trace(page, selector, meta)["z"])
                np.testing.assert_allclose(drawn, surface.values[name].T, rtol=1e-6)
        with redrawn(page):
            page.select_option("#metric", "rise of the loss")
        rise = surface.values["train_loss"].T - 0.1
        np.testing.assert_allclose(array(trace(page, ".scene", "surface")["z"]), rise, rtol=1e-6, atol=1e-12)
        with redrawn(page):
            page.fill("#clip-value", "7.5")
            page.keyboard.press("Enter")
        np.testing.assert_allclose(array(trace(page, ".scene", "surface")["z"]), np.minimum(rise, 7.5), rtol=1e-6)
        assert "Clipped: values above 7.5" in page.inner_text("#note")
        with redrawn(page):
            page.check("input[value=log]")
        assert "Values at or below 0 have no logarithm" in page.inner_text("#note")
        with redrawn(page):
            page.focus("#clip")
            page.keyboard.press("Home")
        assert trace(page, ".scene", "surface")["cmax"] < np.log10(7.5)
        with redrawn(page):
            page.keyboard.press("End")
        assert page.inner_text("#note").startswith("Values at or below 0")


def test_hovering_reads_coordinates_every_metric_and_its_error(browser: Browser) -> None:
    surface = bowl((9, 5))
    with opened(browser, surface) as page:
        page.evaluate("document.querySelector('.contour').scrollIntoView({block: 'center'})")
        plot = page.locator(".contour .nsewdrag.drag").first
        box = plot.bounding_box()
        assert box is not None
        # alpha[2] = -0.5, beta[3] = 1.25, away from marks and lines
        x = box["x"] + box["width"] * 0.25
        y = box["y"] + box["height"] * 0.25
        page.mouse.move(x - 3, y)
        page.mouse.move(x, y, steps=3)
        hover = page.locator(".contour .hoverlayer .hovertext")
        hover.wait_for()
        text = hover.text_content() or ""
        value = surface.values["train_loss"][2, 3]
        for words in (
            "alpha \N{MINUS SIGN}0.5, beta 1.25",
            f"train loss {value:.5g} ± {0.01 * value:.2g}",
            f"train rise of the loss {value - 0.1:.5g} ± {0.02 * value:.2g}",
            f"test loss {value + 0.25:.5g} ± {0.01 * (value + 0.25):.2g}",
            "train accuracy ",
            "test accuracy ",
        ):
            assert words in text
        solid = trace(page, ".scene", "surface")
        assert solid["hoverinfo"] == "text"
        assert f"train loss {value:.5g}" in solid["hovertext"][3][2]


def test_cut_sliders_work_by_keyboard_and_move_lines_curves_and_words(browser: Browser) -> None:
    surface = bowl((9, 5))
    with opened(browser, surface) as page:
        page.check("input[value=linear]")
        page.focus("#at-beta")
        for _ in range(2):
            with redrawn(page):
                page.keyboard.press("ArrowRight")
        beta = surface.axes[1][3]  # it begins at the point nearest to 0, the second one
        assert page.inner_text("#at-beta-value") == f"{beta:g}"
        assert page.get_attribute("#at-beta", "aria-valuetext") == f"beta {beta:g}"
        assert trace(page, ".contour", "cut-0")["y"] == [beta, beta]
        assert set(trace(page, ".scene", "cut-0")["y"]) == {beta}
        curve = trace(page, "#curves .plot", "curve")
        np.testing.assert_allclose(curve["y"], surface.values["train_loss"][:, 3], rtol=1e-6)
        band = trace(page, "#curves .plot", "band")
        assert max(y for y in band["y"] if y is not None) == pytest.approx(1.02 * surface.values["train_loss"][0, 3])
        with redrawn(page):
            page.focus("#at-alpha")
            page.keyboard.press("Home")
        across = trace(page, "#curves .plot", "curve", 1)
        np.testing.assert_allclose(across["y"], surface.values["train_loss"][0], rtol=1e-6)
        value = f"{surface.values['train_loss'][0, 3]:.5g}"
        assert f"train loss: {value} ±" in page.inner_text("#status")
        assert "alpha \N{MINUS SIGN}1, beta 1.25" in page.inner_text("#status")
        assert value in page.inner_text("#readings")
        assert page.get_attribute("#status", "aria-live") == "polite"


def test_spectra_are_chosen_by_list_and_by_click_and_their_point_lights_up(browser: Browser) -> None:
    with opened(browser, bowl((9, 5), rich=True), bowl((9, 5))) as page:
        assert page.is_hidden("#spectrum")
        before = trace(page, ".contour", "points")
        assert before["text"] == ["1", "2"]
        with redrawn(page):
            page.select_option("#point", "1")
        after = trace(page, ".contour", "points")
        assert after["marker"]["color"][1] != before["marker"]["color"][1]
        assert after["marker"]["color"][0] == before["marker"]["color"][0]
        assert trace(page, ".scene", "points")["marker"]["color"] == after["marker"]["color"]
        assert "not a critical point" in page.inner_text("#facts")
        assert [row.split("\t")[0] for row in page.inner_text("#eigenvalues tbody").splitlines()] == [
            "30",
            "4",
            "\N{MINUS SIGN}0.5",
        ]
        assert trace(page, "#density", "density") is None
        page.evaluate(
            """() => {
                const gd = document.querySelector(".contour");
                const at = gd.data.findIndex((trace) => trace.meta === "points");
                gd.scrollIntoView({block: "center"});
                window.place = [gd._fullLayout.xaxis, gd._fullLayout.yaxis].map((axis) => axis._offset + axis.d2p(0));
            }"""
        )
        box = page.locator(".contour").first.bounding_box()
        place = page.evaluate("window.place")
        assert box is not None
        x, y = box["x"] + place[0], box["y"] + place[1]
        page.mouse.move(x - 2, y)
        page.mouse.move(x, y, steps=2)
        with redrawn(page):
            page.mouse.down()
            page.mouse.up()
        assert page.input_value("#point") == "0"
        assert len(trace(page, "#density", "density")["x"]) == 600
        assert "22 ± 0.5 (3 probes)" in page.inner_text("#facts")


def test_the_map_shades_the_contour_and_its_lines_stay(browser: Browser) -> None:
    surface = bowl((9, 5), rich=True)
    assert surface.hessian_map is not None
    with opened(browser, surface) as page:
        assert trace(page, ".contour", "shade") is None
        with redrawn(page):
            page.select_option("#shade", "max")
        shade = trace(page, ".contour", "shade")
        np.testing.assert_allclose(array(shade["z"]), surface.hessian_map.lambda_max.T)
        assert trace(page, ".contour", "values")["contours"]["coloring"] == "none"
        with redrawn(page):
            page.select_option("#shade", "min")
        assert trace(page, ".contour", "shade")["colorscale"] == "RdBu"  # both signs


def test_path_marks_and_holes_lie_where_they_belong(browser: Browser) -> None:
    surface = bowl((9, 5), rich=True)
    surface.values["train_loss"][0, 0] = np.inf
    surface.values["train_loss"][8, 4] = np.nan
    surface.origin[8, 4] = 0
    with opened(browser, surface) as page:
        page.check("input[value=linear]")
        path = trace(page, ".scene", "trajectory")
        assert path["x"] == [-0.75, -0.5, -0.25, 0]
        loss = 0.1 + np.array(path["x"]) ** 2 + 10 * 0.125  # between beta = -0.25 and 0.5, linearly
        assert path["z"][1] == pytest.approx(0.1 + 0.25 + 10 * (2 / 3 * 0.0625 + 1 / 3 * 0.25), abs=0.3)
        assert np.all(np.array(path["z"]) > 0)
        assert len(loss) == 4
        assert "step 100<br>off the slice by 2<br>train loss 5" in path["hovertext"]
        assert trace(page, ".contour", "marks")["hovertext"][1].startswith("other.pt")
        holes = array(trace(page, ".contour", "holes")["z"])
        assert holes[0, 0] == 1
        assert holes[4, 8] == 0
        assert np.isfinite(holes).sum() == 2
        z = array(trace(page, ".scene", "surface")["z"])
        assert np.isnan([z[0, 0], z[4, 8]]).all()
        assert "diverged (infinite)" in trace(page, ".contour", "values")["hovertext"][0][0]
        assert "missing" in trace(page, ".contour", "values")["hovertext"][4][8]
        assert "grey: 1 point diverged; light grey: 1 point missing" in page.inner_text(".caption")


def test_cameras_are_linked_and_have_buttons(browser: Browser) -> None:
    with opened(browser, bowl(), bowl(scale=2)) as page:
        start = layout(page, ".scene")["scene"]["camera"]["eye"]
        with redrawn(page):
            page.click("[data-view=top]")
        eyes = [layout(page, ".scene", k)["scene"]["camera"]["eye"] for k in (0, 1)]
        assert eyes[0] == eyes[1] != start
        assert eyes[0]["z"] > 2
        with redrawn(page):
            page.evaluate(
                "Plotly.relayout(document.querySelector('.scene'), "
                "{'scene.camera': {eye: {x: 1, y: 1, z: 1}, up: {x: 0, y: 0, z: 1}, center: {x: 0, y: 0, z: 0}}})"
            )
        assert layout(page, ".scene", 1)["scene"]["camera"]["eye"] == {"x": 1, "y": 1, "z": 1}
        with redrawn(page):
            page.focus("[data-view=reset]")
            page.keyboard.press("Enter")
        assert layout(page, ".scene", 1)["scene"]["camera"]["eye"] == start


def test_curves_of_several_files_are_overlaid(browser: Browser) -> None:
    surfaces = [bowl((21,), rich=True), bowl((11,), scale=3)]
    with opened(browser, *surfaces) as page:
        assert page.is_hidden("#panels")
        assert page.is_hidden("#camera")
        names = page.evaluate("document.querySelector('#curves .plot').data.map((t) => t.name).filter(Boolean)")
        assert [name for name in names if "loss" in name] == [
            "1: test loss",
            "1: train loss",
            "2: test loss",
            "2: train loss",
        ]
        assert trace(page, "#curves .plot", "trajectory")["y"][3] == pytest.approx(0.1)
        with redrawn(page):
            page.focus("#at-alpha")
            page.keyboard.press("End")
        assert "1 1.1 ± 0.011 at alpha 1; 2 3.1 ± 0.031 at alpha 1" in page.inner_text("#status")


def test_dark_mode_changes_ground_and_plots(browser: Browser) -> None:
    seen = []
    for scheme in ("light", "dark"):
        with opened(browser, bowl(), color_scheme=scheme) as page:
            ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
            seen.append((ground, layout(page, ".contour")["font"]["color"]))
            if scheme == "light":
                with redrawn(page):
                    page.emulate_media(color_scheme="dark")
                seen.append((ground := page.evaluate("getComputedStyle(document.body).backgroundColor"), ground))
    assert seen[0][0] == "rgb(255, 255, 255)"
    assert seen[1][0] == seen[2][0] == "rgb(21, 23, 27)"
    assert seen[0][1] != seen[2][1]


@pytest.mark.parametrize("width", [360, 768])
def test_nothing_overflows_a_narrow_page(browser: Browser, width: int) -> None:
    surfaces = [bowl((9, 5), rich=True, title="a-rather-long-name-of-a-problem-without-any-space"), bowl((9, 5))]
    with opened(browser, *surfaces, viewport={"width": width, "height": 800}) as page:
        with redrawn(page):
            page.select_option("#point", "0")
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = [box for box in (each.bounding_box() for each in page.locator(".pair figure").all()) if box]
        assert len(boxes) == 4
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
        if width == 360:
            assert boxes[1]["y"] >= boxes[0]["y"] + boxes[0]["height"]  # one under the other


def test_hostile_names_are_harmless_text(browser: Browser) -> None:
    surface = bowl((5, 4), rich=True)
    hostile = replace(
        surface,
        values={"train_loss": surface.values["train_loss"], EVIL: surface.values["train_loss"]},
        marks=(replace(surface.marks[0], name=EVIL),),
        provenance={"problem": EVIL, "splits": "train", EVIL: EVIL},
        spectra=(replace(surface.spectra[0], kind=EVIL, reason=EVIL, notes=(EVIL,)),),
    )
    path = Path(EVIL.replace("/", "\N{DIVISION SLASH}") + ".h5")
    surfaceviz.store.write(path, replace(hostile, values={"train_loss": surface.values["train_loss"]}))
    for given in (hostile, path):
        with opened(browser, given) as page:
            assert page.inner_text("h1") == EVIL
            assert page.inner_text(".panel h2") == EVIL
            with redrawn(page):
                page.select_option("#point", "0")
            assert EVIL in page.inner_text("#facts")
            if given is hostile:
                with redrawn(page):
                    page.select_option("#split", "")
                title = page.locator(".contour .cbtitle").text_content()
                assert title == EVIL.replace("_", " ")
            assert page.evaluate("window.ran") is None
            assert page.locator("img[src=x]").count() == 0
            assert page.locator("script").count() == 3


def test_every_control_has_a_name_and_is_reached_by_tab(browser: Browser) -> None:
    with opened(browser, bowl(rich=True)) as page:
        nameless = page.evaluate(
            """() => [...document.querySelectorAll("input, select")].filter((each) => !each.labels?.length)
                .map((each) => each.id)"""
        )
        assert nameless == []
        seen = set()
        for _ in range(30):
            page.keyboard.press("Tab")
            seen.add(page.evaluate("document.activeElement.id || document.activeElement.dataset.view"))
        assert {
            "split",
            "metric",
            "clip",
            "clip-value",
            "shade",
            "reset",
            "top",
            "at-beta",
            "at-alpha",
            "point",
        } <= seen


def test_a_large_grid_is_thinned_and_says_so(browser: Browser) -> None:
    with opened(browser, bowl((1001, 1001))) as page:
        assert "1001 x 1001 points, of which 14" in page.inner_text(".caption")
        assert "every 7th" in page.inner_text(".caption")
        assert len(trace(page, ".scene", "surface")["x"]) < 160
