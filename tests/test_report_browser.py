"""The page in a browser: headless Chromium, if the system has it."""

import base64
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dilution.report.marks import Mark
from dilution.report.page import Page, write
from dilution.report.section import Section, study_section
from dilution.report.style import (
    COLOURS,
    legend,
    line_with_interval,
    new_figure,
    percent_axis,
    publish,
    quoted_mark,
)

selenium = pytest.importorskip("selenium", reason="selenium is not installed: pip install 'dilution[dev]'")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.actions.action_builder import ActionBuilder  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.remote.webelement import WebElement  # noqa: E402

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.trains,  # the browser is a process of its own
    pytest.mark.skipif(
        BROWSER is None or DRIVER is None, reason="no chromium and chromedriver on this machine's PATH"
    ),
]

EVIL = "<script>document.title = 'broken'</script>$x$"
MODELS = ("conv4", "mlp1")
ALPHAS = (0.0, 5.0, 20.0)


def points() -> pd.DataFrame:
    rows = [(model, alpha) for model in MODELS for alpha in ALPHAS]
    table = pd.DataFrame(rows, columns=["model", "alpha"])
    table["mean"] = [0.99, 0.95, 0.9, 0.8, 0.6, 0.4]
    return table.assign(low=table["mean"] - 0.02, high=table["mean"] + 0.02, seeds=3)


def runs() -> pd.DataFrame:
    rows = [(f"k{i}", model, float(i), "done") for i in range(10) for model in (*MODELS, EVIL)]
    table = pd.DataFrame(rows, columns=["key", "model", "alpha", "state"])
    table = table.assign(n=[1000, 10000, 60000] * 10, n_available=[60000] * 29 + [50000])
    table = table.assign(alpha_expected=[70.0] * 29 + [71.0], test_acc_at_best_clean_val=0.5, host="same")
    note = "a long note that makes this table wider than a phone " * 3
    return table.assign(note=[f"{note}{place}" for place in range(30)])


def figure_section(folder: Path) -> Section:
    figure, (axis,) = new_figure()
    for index, (name, part) in enumerate(points().groupby("model", sort=False)):
        line_with_interval(axis, part, "alpha", str(name), index)
    quoted_mark(axis, 10, 0.91, "paper's ConvNet, quoted", {"test accuracy": "91 %"}, COLOURS[0])
    axis.set_ylabel("test accuracy")
    axis.set_ylim(0, 1.02)
    percent_axis(axis)
    legend(axis, "model")
    plot = publish(figure, folder, "fig1")
    claims = pd.DataFrame(
        [("fig1", "It learns.", "a > b", "reproduced", "1 of 1")],
        columns=["figure", "claim", "rule", "verdict", "numbers"],
    )
    evil = Mark(200, 150, 9, EVIL, EVIL, "#000000", {EVIL: EVIL, "mean": 0.5})
    return Section(
        name="fig1",
        title="Accuracy by noise",
        summary="It still learns.",
        svg=plot.svg,
        caption="Demo preset.",
        method="Trained once.",
        claims=claims,
        points=points(),
        runs=runs(),
        marks=(*plot.marks, evil),
    )


def own_study(folder: Path) -> Section:
    settings = [(model, alpha, seed) for model in (EVIL, "b") for alpha in ALPHAS for seed in range(2)]
    table = pd.DataFrame(settings, columns=["model", "alpha", "seed"])
    table = table.assign(state="done", test_acc_at_best_clean_val=0.5, dataset=EVIL, n=9, matrix=None)
    return study_section(EVIL, table, folder)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1000,900"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    sections = [figure_section(folder), own_study(folder)]
    return write(Page(f"Noise {EVIL}", sections, {"made by": EVIL}), folder / "index.html").as_uri()


@pytest.fixture
def opened(browser: Any, address: str) -> Any:
    """Open the page again, on a desktop with the light theme."""
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    set_theme(browser, "light")
    browser.get(address)
    return browser


def set_theme(browser: Any, scheme: str) -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def within(browser: Any, selector: str) -> WebElement:
    """Return an element of the first figure."""
    element: WebElement = browser.find_element(By.CSS_SELECTOR, f"#figure-1 {selector}")
    return element


def middle_of_point(browser: Any, number: int) -> tuple[int, int]:
    """Scroll the first plot into view and return the place of one of its points in the window."""
    x, y = browser.execute_script(
        """const box = document.querySelector('#figure-1 .plot');
        box.scrollIntoView({block: 'center'});
        const mark = JSON.parse(box.querySelector('script').textContent)[arguments[0]];
        const point = new DOMPoint(mark.x, mark.y).matrixTransform(box.querySelector('svg').getScreenCTM());
        return [point.x, point.y];""",
        number,
    )
    return round(x), round(y)


def act(browser: Any, *steps: Callable[[Any], None]) -> None:
    actions = ActionBuilder(browser, duration=20)
    for step in steps:
        step(actions.pointer_action)
    actions.perform()


def to(place: tuple[int, int]) -> Callable[[Any], None]:
    return lambda pointer: pointer.move_to_location(*place)


def tooltip(browser: Any) -> str:
    return str(within(browser, ".tip").text)


def view(browser: Any) -> list[float]:
    return [float(part) for part in within(browser, "svg").get_dom_attribute("viewBox").split()]


def shown_rows(browser: Any) -> int:
    rows = browser.find_elements(By.CSS_SELECTOR, "#figure-1 details tbody tr")
    return sum(row.is_displayed() for row in rows)


def test_the_page_loads_without_an_error_or_a_request(opened: Any) -> None:
    opened.get_log("performance")
    opened.get_log("browser")
    opened.refresh()
    requests = []
    for entry in opened.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            requests.append(message["params"]["request"]["url"])
    assert [url for url in requests if not url.startswith("data:")] == [opened.current_url]
    assert opened.get_log("browser") == []
    assert within(opened, ".search").get_attribute("hidden") is None  # the script was run


def test_the_tooltip_of_a_point_shows_its_series_settings_interval_and_seeds(opened: Any) -> None:
    assert tooltip(opened) == ""
    act(opened, to(middle_of_point(opened, 1)))
    text = tooltip(opened)
    assert "model: conv4" in text
    assert "95.0 %" in text
    assert "95 % interval 93.0 to 97.0 %, 3 seeds" in text
    assert "alpha\n5" in text
    ring = within(opened, ".ring")
    assert ring.is_displayed()
    act(opened, to((2, 2)))
    assert tooltip(opened) == ""
    assert not ring.is_displayed()


def test_the_tooltip_of_a_number_of_the_paper_says_that_it_is_quoted_from_memory(opened: Any) -> None:
    act(opened, to(middle_of_point(opened, 6)))
    assert "paper's ConvNet, quoted" in tooltip(opened)
    assert "Quoted from memory of the paper" in tooltip(opened)


def test_arrow_keys_move_along_a_series_and_to_the_next_one(opened: Any) -> None:
    scene = within(opened, ".scene")
    opened.execute_script("arguments[0].focus()", scene)
    scene.send_keys(Keys.ARROW_RIGHT)
    assert "alpha\n5" in tooltip(opened)
    scene.send_keys(Keys.ARROW_RIGHT)
    assert "alpha\n20" in tooltip(opened)
    scene.send_keys(Keys.ARROW_DOWN)
    assert "model: mlp1" in tooltip(opened)
    assert "alpha\n20" in tooltip(opened)
    scene.send_keys(Keys.ARROW_LEFT)
    assert "alpha\n5" in tooltip(opened)
    scene.send_keys(Keys.ESCAPE)
    assert tooltip(opened) == ""


def ticks_in_view(browser: Any) -> list[WebElement]:
    """Return the visible tick labels; fail if one of them is outside the plot."""
    frame = within(browser, "svg").rect
    labels = browser.find_elements(By.CSS_SELECTOR, "#figure-1 .x-tick, #figure-1 .y-tick")
    shown = [label for label in labels if label.value_of_css_property("visibility") == "visible"]
    for rect in (label.rect for label in shown):
        assert 0 < rect["x"] + rect["width"] / 2 - frame["x"] < frame["width"]
        assert 0 < rect["y"] + rect["height"] / 2 - frame["y"] < frame["height"]
    return shown


def test_a_drag_zooms_to_its_rectangle_and_reset_or_double_click_shows_all(opened: Any) -> None:
    x, y = middle_of_point(opened, 4)
    whole, height = view(opened), within(opened, "svg").size["height"]
    reset = within(opened, ".reset")
    drag = (
        to((x - 60, y - 40)),
        lambda p: p.pointer_down(),
        to((x + 60, y + 40)),
        lambda p: p.pointer_up(),
    )
    act(opened, *drag)
    zoomed = view(opened)
    assert zoomed[2] < whole[2] / 3
    assert zoomed[3] / zoomed[2] == pytest.approx(whole[3] / whole[2], rel=1e-3)
    assert within(opened, "svg").size["height"] == height  # the page does not move
    act(opened, to(middle_of_point(opened, 4)))
    assert "60.0 %" in tooltip(opened)  # the tooltip is that of the point under the pointer
    assert 0 < len(ticks_in_view(opened)) < 10  # some are outside the view, the others at its edge
    reset.click()
    assert view(opened) == whole
    assert not reset.is_displayed()
    act(opened, *drag)
    assert view(opened) != whole
    act(opened, *[lambda p: p.pointer_down(), lambda p: p.pointer_up()] * 2)
    assert view(opened) == whole


def test_the_wheel_zooms_only_with_control_and_scrolls_otherwise(opened: Any) -> None:
    x, y = middle_of_point(opened, 4)
    whole = view(opened)

    def wheel(modifiers: int) -> None:
        event = {"type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": -200, "modifiers": modifiers}
        opened.execute_cdp_cmd("Input.dispatchMouseEvent", event)

    wheel(2)
    assert wait(lambda: view(opened)[2] < whole[2] / 2)
    zoomed, height = view(opened), opened.execute_script("return scrollY")
    wheel(0)
    assert wait(lambda: opened.execute_script("return scrollY") < height)
    assert view(opened) == zoomed


def wait(holds: Callable[[], bool]) -> bool:
    """Return whether something comes to hold within two seconds."""
    end = time.monotonic() + 2
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_keys_zoom_and_reset(opened: Any) -> None:
    whole = view(opened)
    scene = within(opened, ".scene")
    scene.send_keys("+")
    assert view(opened)[2] == pytest.approx(whole[2] / 2)
    scene.send_keys("0")
    assert view(opened) == whole


def test_search_shows_the_rows_with_all_words_and_counts_them(opened: Any) -> None:
    within(opened, "summary").click()
    field, count = within(opened, ".search input"), within(opened, ".search output")
    assert count.text == "30 of 30 rows"
    field.send_keys("CONV4 done")
    assert count.text == "10 of 30 rows"
    assert shown_rows(opened) == 10
    field.send_keys(Keys.CONTROL, "a", Keys.DELETE)
    field.send_keys("alpha=7 mlp")
    assert count.text == "1 of 30 rows"
    field.send_keys(Keys.CONTROL, "a", Keys.DELETE)
    field.send_keys("7 conv4")
    assert count.text == "1 of 30 rows"
    field.send_keys("x")
    assert count.text == "0 of 30 rows"
    field.send_keys(Keys.CONTROL, "a", Keys.DELETE)
    assert count.text == "30 of 30 rows"
    assert shown_rows(opened) == 30


@pytest.mark.parametrize("width", [1000, 390])
def test_the_example_of_the_search_fits_its_field(opened: Any, tmp_path: Path, width: int) -> None:
    index, label = [12_345_678, 3], ["labrador_retri", "setter"]  # as long as an example can be
    issues = pd.DataFrame({"index": index, "id": ["row 5", "row 9"], "given_label": label, "p_wrong": 0.9987})
    section = replace(figure_section(tmp_path), runs=issues, runs_complete=False)
    screen = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    opened.get(write(Page("Labels", [section]), tmp_path / "page.html").as_uri())
    within(opened, "summary").click()
    field = within(opened, ".search input")
    assert field.get_attribute("placeholder") == "Search: labrador_retri index=12345678"
    wanted, there = opened.execute_script(
        """const field = arguments[0], style = getComputedStyle(field);
        const context = document.createElement('canvas').getContext('2d');
        context.font = style.font;
        const padding = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
        return [context.measureText(field.placeholder).width, field.clientWidth - padding];""",
        field,
    )
    assert wanted <= there
    assert opened.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("n=1000", 10),  # not 10000
        ("n=1,000", 10),
        ("n=1000.0", 10),
        ("n=60000", 10),  # not the others, whose n_available is 60000
        ("n=60", 0),
        ("n_available=60,000", 29),
        ("host=same", 0),  # a column that is equal in all runs is not shown
        ("1000", 10),
        ("10000 alpha=7", 1),
        ("alpha=7", 3),
        ("alpha=70", 0),  # alpha_expected is 70
        ("alpha=7.0", 3),
        ("test_acc_at_best_clean_val=50", 30),
        ("model=conv", 10),
        ("key=k1", 3),
        ("alph=7", 0),
        ("77", 0),
    ],
)
def test_a_search_for_a_column_takes_its_whole_name_and_whole_numbers(
    opened: Any, words: str, count: int
) -> None:
    within(opened, "summary").click()
    within(opened, ".search input").send_keys(words)
    assert within(opened, ".search output").text == f"{count} of 30 rows"


def test_a_click_on_a_heading_sorts_numbers_as_numbers(opened: Any) -> None:
    head = within(opened, ".scroll th:nth-child(3)")

    def column() -> list[str]:
        cells = opened.find_elements(By.CSS_SELECTOR, "#figure-1 > .scroll tbody td:nth-child(3)")
        return [cell.text for cell in cells]

    within(opened, ".scroll th:nth-child(3) button").click()
    assert column() == ["40.0", "60.0", "80.0", "90.0", "95.0", "99.0"]
    assert head.get_attribute("aria-sort") == "ascending"
    within(opened, ".scroll th:nth-child(3) button").click()
    assert column() == ["99.0", "95.0", "90.0", "80.0", "60.0", "40.0"]


def test_text_of_data_sets_and_users_is_shown_and_never_executed(opened: Any) -> None:
    assert opened.title == f"Noise {EVIL}"
    assert opened.find_element(By.CSS_SELECTOR, "#figure-2 h2").text == EVIL
    act(opened, to(middle_of_point(opened, 7)))
    assert tooltip(opened).count(EVIL) == 4  # series, measure, and a setting's name and value
    within(opened, "summary").click()
    within(opened, ".search input").send_keys("<script>")
    assert within(opened, ".search output").text == "10 of 30 rows"
    assert len(opened.find_elements(By.CSS_SELECTOR, "script")) == 3
    assert opened.find_elements(By.CSS_SELECTOR, "#figure-2 svg")


def brightness(colour: str) -> float:
    red, green, blue = (float(part) for part in colour.partition("(")[2].rstrip(")").split(",")[:3])
    return (0.3 * red + 0.6 * green + 0.1 * blue) / 255


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_and_plot_follow_the_theme(opened: Any, scheme: str) -> None:
    set_theme(opened, scheme)
    body = opened.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
    ground = within(opened, "svg g path").value_of_css_property("fill")
    ink = within(opened, "svg g[style*='--ink']").value_of_css_property("fill")
    dark = scheme == "dark"
    assert (brightness(body) < 0.2) == dark
    assert (brightness(ground) < 0.2) == dark
    assert (brightness(ink) > 0.8) == dark
    assert abs(brightness(ink) - brightness(ground)) > 0.6
    line = within(opened, "svg path[style*='#0072b2']")
    assert line.value_of_css_property("stroke") == "rgb(0, 114, 178)"


def test_a_phone_needs_no_sideways_scrolling_and_a_tap_shows_a_tooltip(opened: Any) -> None:
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    opened.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    opened.refresh()
    within(opened, "summary").click()
    assert opened.execute_script("return document.documentElement.scrollWidth") == 390
    x, y = middle_of_point(opened, 4)
    touch = [{"x": x, "y": y}]
    opened.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": touch})
    opened.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert wait(lambda: "60.0 %" in tooltip(opened))
    box = within(opened, ".tip").rect
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


def test_a_printed_page_has_no_interactive_elements(opened: Any) -> None:
    act(opened, to(middle_of_point(opened, 1)))
    pdf = base64.b64decode(opened.print_page())
    assert pdf.startswith(b"%PDF-")
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        for selector in (".tip", ".hint", ".reset", ".search"):
            assert not within(opened, selector).is_displayed()
        assert within(opened, "svg").is_displayed()
    finally:
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
