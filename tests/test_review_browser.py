"""The review page in headless Chromium, if the system has it: its keys are pressed, its file is read."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from reviews import EVIL, examples_of_images, label_issues, review_of_images, write_table

from dilution.diagnosis.verified_labels import read_verified_labels
from dilution.review import write_review
from dilution.review.answers import FILE_NAME, AnswerFile
from dilution.review.server import ReviewServer

selenium = pytest.importorskip("selenium", reason="selenium is not installed: pip install 'dilution[dev]'")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
pytestmark = [
    pytest.mark.trains,  # the browser is a process of its own
    pytest.mark.skipif(
        BROWSER is None or DRIVER is None, reason="no chromium and chromedriver on this machine's PATH"
    ),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,900"):
        options.add_argument(argument)
    downloads = tmp_path_factory.mktemp("downloads")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    driver.downloads = downloads
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def offline(browser: Any, tmp_path: Path) -> Any:
    """Open the page of twelve images as a file."""
    examples = examples_of_images()
    write_review(label_issues(examples), examples, tmp_path / "review.html")
    return opened(browser, (tmp_path / "review.html").as_uri())


@pytest.fixture
def served(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Serve the page of twelve images and open it; the file of answers is in `folder`."""
    items, examples = review_of_images()
    answers = AnswerFile(tmp_path / FILE_NAME, items, examples)
    with ReviewServer(items, answers, "dilution diagnose animals --verified x.csv") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        browser.folder = tmp_path
        yield opened(browser, server.url)
        server.shutdown()
        thread.join()


def opened(browser: Any, address: str) -> Any:
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get_log("browser")
    browser.get(address)
    browser.execute_script("try { localStorage.clear() } catch {}")
    browser.refresh()
    return browser


def press(browser: Any, *keys: str) -> None:
    for key in keys:
        ActionChains(browser).send_keys(key).perform()


def text(browser: Any, name: str) -> str:
    return str(browser.find_element(By.ID, name).text)


def click(browser: Any, selector: str) -> None:
    browser.find_element(By.CSS_SELECTOR, selector).click()


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(400):
        if condition():
            return
        time.sleep(0.025)
    pytest.fail("it did not happen within 10 s")


def saved(browser: Any, n_rows: int) -> list[list[str]]:
    """Wait until the file has so many rows, and return id, verified label and verdict of each."""
    path = browser.folder / FILE_NAME
    wait_until(lambda: path.exists() and len(path.read_text().splitlines()) == n_rows + 1)
    wait_until(lambda: text(browser, "saved") == "Saved to verified_labels.csv")
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    rows: list[list[str]] = table[["id", "verified_label", "verdict"]].to_numpy().tolist()
    return rows


def test_keys_give_verdicts_that_are_in_the_file_at_once(served):
    press(served, "y", "s", Keys.ENTER, "u", "1", "w")
    assert saved(served, 6) == [
        ["0", "cat", "correct"],
        ["1", "owl", "wrong"],
        ["2", "cat", "wrong"],
        ["3", "", "unsure"],
        ["4", "cat", "wrong"],
        ["5", "", "wrong"],
    ]
    assert text(served, "count") == "6 of 12 reviewed, 4 wrong so far, 1 unsure"
    assert served.get_log("browser") == []


def test_a_reload_loses_nothing(served):
    press(served, "y", "s")
    saved(served, 2)
    served.refresh()
    assert text(served, "count") == "2 of 12 reviewed, 1 wrong so far"
    press(served, "y")  # at the first example that is not reviewed
    assert [row[0] for row in saved(served, 3)] == ["0", "1", "2"]


def test_undo_takes_the_last_answer_back_and_shows_its_example(served):
    press(served, "y", "s")
    saved(served, 2)
    press(served, "z")
    assert saved(served, 1) == [["0", "cat", "correct"]]
    assert text(served, "example-name") == "Example 1"
    press(served, "u")
    assert saved(served, 2)[1] == ["1", "", "unsure"]
    press(served, "k", Keys.DELETE)
    assert len(saved(served, 1)) == 1


def test_clicks_do_the_same_and_the_keys_work_on(served):
    click(served, "#take")
    click(served, "#unsure")
    click(served, "#classes [data-number='2']")
    press(served, Keys.ENTER)  # takes the suggestion: it does not press the button again
    assert [row[1:] for row in saved(served, 4)] == [
        ["dog", "wrong"],
        ["", "unsure"],
        ["owl", "correct"],
        ["dog", "wrong"],
    ]
    click(served, "#undo")
    assert len(saved(served, 3)) == 3


def test_a_class_is_searched_by_name(served):
    press(served, "/", "o", "w", "y")  # letters go to the search
    assert text(served, "more") == "No class has this name."
    press(served, Keys.BACKSPACE, Keys.ENTER)
    assert saved(served, 1) == [["0", "owl", "wrong"]]
    assert text(served, "example-name") == "Example 1"


def test_moving_leaves_answers_alone(served):
    press(served, Keys.ARROW_RIGHT, "j", Keys.ARROW_DOWN, "k")
    assert text(served, "position") == "3 of 12"
    press(served, Keys.END, "j")
    assert text(served, "position") == "12 of 12"
    press(served, Keys.HOME, Keys.ARROW_LEFT)
    assert text(served, "position") == "1 of 12"
    click(served, "#strip [data-item='4']")
    assert text(served, "example-name") == "Example 4"
    assert not (served.folder / FILE_NAME).exists()


def test_filters_choose_a_class_and_a_verdict(served):
    press(served, "y", "s")
    served.execute_script("document.getElementById('verdict-filter').value = 'open'")
    served.execute_script("document.getElementById('verdict-filter').dispatchEvent(new Event('change'))")
    assert text(served, "position") == "1 of 10"
    served.execute_script("document.getElementById('class-filter').value = '1'")
    served.execute_script("document.getElementById('class-filter').dispatchEvent(new Event('change'))")
    assert text(served, "position").endswith("of 6")  # given or suggested
    served.execute_script("document.getElementById('verdict-filter').value = 'unsure'")
    served.execute_script("document.getElementById('verdict-filter').dispatchEvent(new Event('change'))")
    assert text(served, "example-name") == "No example passes these filters"
    press(served, "y")
    assert len(saved(served, 2)) == 2


def test_the_end_of_a_review_names_the_next_command(served):
    press(served, *"y" * 12)
    assert len(saved(served, 12)) == 12
    assert text(served, "done-text") == "All 12 are reviewed. All answers are in verified_labels.csv."
    assert text(served, "command") == "dilution diagnose animals --verified x.csv"


def test_answers_that_cannot_be_saved_are_kept_and_sent_again(served):
    press(served, "y")
    saved(served, 1)
    path = served.folder / FILE_NAME
    before = path.read_text()
    path.write_text("something else\n1\n")
    press(served, "s")
    wait_until(lambda: "Not saved" in text(served, "problem"))
    assert text(served, "saved") == "1 not saved"
    path.write_text(before)
    press(served, "u")
    assert [row[2] for row in saved(served, 3)] == ["correct", "wrong", "unsure"]


def test_answers_of_another_program_are_shown(served):
    press(served, "s")
    saved(served, 1)
    path = served.folder / FILE_NAME
    path.write_text(path.read_text().replace("dog", "cat"))
    press(served, "y")
    wait_until(lambda: "another program" in text(served, "problem"))
    assert [row[1] for row in saved(served, 2)] == ["cat", "dog"]
    wait_until(lambda: text(served, "count") == "2 of 12 reviewed, 0 wrong so far")
    press(served, "k", "k")
    assert text(served, "verdict") == "Correct: it is “cat”."
    assert "verified_labels.1.csv" in text(served, "problem")  # it stays


def test_the_file_works_offline_and_its_download_is_accepted_by_diagnose(offline):
    press(offline, "y", "s", "u", "3")
    offline.refresh()
    assert text(offline, "count") == "4 of 12 reviewed, 2 wrong so far, 1 unsure"
    press(offline, "z")  # undo works after a reload too
    assert text(offline, "count") == "3 of 12 reviewed, 1 wrong so far, 1 unsure"
    click(offline, "#download")
    path = offline.downloads / FILE_NAME
    wait_until(path.exists)
    wait_until(lambda: path.read_text().count("\n") == 4)
    classes, notes = read_verified_labels(path, examples_of_images())
    assert classes[:4].tolist() == [0, 2, -1, -1]
    assert notes == ()
    assert offline.get_log("browser") == []
    path.unlink()


def test_the_page_writes_the_same_file_as_the_server(browser, tmp_path):
    items, examples = review_of_images(classes=("=1+1", 'a,"b"', EVIL))
    file = AnswerFile(tmp_path / FILE_NAME, items, examples)
    file.record([(0, 1), (1, 1), (2, -1), (3, 2), (4, 0), (5, -2)])
    write_review(
        label_issues(examples),
        examples,
        tmp_path / "review.html",
        answers=tmp_path / FILE_NAME,
        name="animals",
    )
    opened(browser, (tmp_path / "review.html").as_uri())
    written = browser.execute_script("return verifiedLabelsCsv(review, state, answers)")
    assert written == (tmp_path / FILE_NAME).read_text()


def test_two_thousand_issues_need_no_more_elements_than_twelve(offline, tmp_path):
    few = offline.execute_script("return document.querySelectorAll('*').length")
    examples = examples_of_images(2000, size=2)
    write_review(label_issues(examples), examples, tmp_path / "many.html")
    opened(offline, (tmp_path / "many.html").as_uri())
    assert text(offline, "position") == "1 of 2,000"
    press(offline, "s", "s", Keys.END, "y")
    assert text(offline, "count") == "3 of 2,000 reviewed, 2 wrong so far"
    many = offline.execute_script("return document.querySelectorAll('*').length")
    assert many <= few + 8  # the strip has more neighbours in the middle
    assert offline.execute_script("return document.images.length") <= 14


def test_texts_of_strangers_are_shown_as_text(browser, tmp_path):
    examples = write_table(tmp_path / "t.csv")
    issues = label_issues(examples)
    write_review(issues, f"{tmp_path / 't.csv'}#species", tmp_path / "review.html", name=EVIL)
    opened(browser, (tmp_path / "review.html").as_uri())
    assert EVIL in browser.find_element(By.CSS_SELECTOR, ".cells").text
    assert browser.find_element(By.TAG_NAME, "h1").text == f"Review of {EVIL}"
    assert browser.title != "broken"
    hostile = examples_of_images(classes=(EVIL, "a\u202eb", "<img src=x onerror=alert(1)>"))
    write_review(label_issues(hostile), hostile, tmp_path / "hostile.html")
    opened(browser, (tmp_path / "hostile.html").as_uri())
    assert text(browser, "given") == EVIL
    assert text(browser, "suggested") == "a\\u202eb"
    press(browser, "s", "s")
    assert browser.get_log("browser") == []
    assert len(browser.find_elements(By.TAG_NAME, "script")) == 3


def test_the_page_fits_a_phone(offline):
    metrics = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    offline.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    assert offline.execute_script("return document.documentElement.scrollWidth") == 360
    for name in ("correct", "take", "wrong", "unsure"):
        place = offline.find_element(By.ID, name).rect
        assert place["y"] + place["height"] <= 740  # no scrolling before an answer
        assert place["height"] >= 32
    click(offline, "#take")
    assert text(offline, "count") == "1 of 12 reviewed, 1 wrong so far"


CONTRAST = """
const light = (text) => {
  const [r, g, b] = text.match(/[\\d.]+/g).map(Number).map((v) => v / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const back = (node) => {
  const colour = getComputedStyle(node).backgroundColor;
  return colour === "rgba(0, 0, 0, 0)" ? back(node.parentElement) : colour;
};
return [...document.querySelectorAll("h1, h2, p, dt, dd, button, kbd, label, select")]
  .filter((node) => node.checkVisibility() && node.textContent.trim() && !node.closest(":disabled"))
  .map((node) => {
    const [a, b] = [light(getComputedStyle(node).color), light(back(node))].sort((x, y) => y - x);
    return [node.id || node.textContent.trim().slice(0, 20), (a + 0.05) / (b + 0.05)];
  }).filter(([, contrast]) => contrast < 4.5);
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_contrast_in_light_and_dark(offline, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    offline.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    for keys in ("y", "k", "s", "k", "u", "k"):
        press(offline, keys)
        assert offline.execute_script(CONTRAST) == []


def test_everything_has_a_name_for_those_who_cannot_see_it(offline):
    unnamed = offline.execute_script(
        """return [...document.querySelectorAll("button, select, input, [role], nav, img")].filter((node) =>
          !(node.getAttribute("aria-label") || node.getAttribute("aria-labelledby") || node.textContent.trim()
            || node.labels?.length || node.alt !== undefined || node.hidden || node.closest("[hidden]")
            || node.getAttribute("role") === "status" || node.getAttribute("role") === "alert"))
          .map((node) => node.outerHTML)"""
    )
    assert unnamed == []
    bar = offline.find_element(By.ID, "bar")
    press(offline, "y")
    assert (bar.get_attribute("aria-valuenow"), bar.get_attribute("aria-valuemax")) == ("1", "12")
    assert offline.find_element(By.ID, "announcement").get_attribute("textContent") == (
        "Correct: it is “cat”. Example 1: given dog, suggested owl."
    )
    press(offline, "k")
    assert offline.find_element(By.ID, "correct").get_attribute("aria-pressed") == "true"


def test_help_opens_and_its_keys_answer_nothing(offline):
    press(offline, "?")
    assert offline.find_element(By.ID, "help").is_displayed()
    press(offline, "y", Keys.ESCAPE)
    assert not offline.find_element(By.ID, "help").is_displayed()
    assert text(offline, "count") == "0 of 12 reviewed, 0 wrong so far"
