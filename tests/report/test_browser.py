"""The pages in a real browser: nothing is loaded, nothing complains, and mouse, keyboard, paper and
small screens all work.

Needs Playwright's package (`pip install "emomtl[browser]"`) and a Chromium that is there already,
found on the PATH or named by EMOMTL_CHROMIUM; nothing is downloaded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = os.environ.get("EMOMTL_CHROMIUM") or next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)
HOSTILE = (
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    '"><svg onload="window.hacked = 1">',
    "$x$",
    "javascript:window.hacked=1",
)
VIOLATIONS = (
    "window.violations = []; addEventListener('securitypolicyviolation', e =>"
    " violations.push(e.violatedDirective));"
)
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = (text) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const d = canvas.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255];
  };
  const over = (top, below, by) => below.map((c, i) => top[i] * by + c * (1 - by));
  const light = (c) => c.map((v) => v / 255).map((v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const found = [];
  for (const element of document.querySelectorAll("p, li, td, th, h1, h2, h3, a, figcaption, summary, label, button")) {
    if (!element.checkVisibility() || element.matches(".skip")) continue;
    const line = []; for (let e = element; e; e = e.parentElement) line.unshift(e);
    let ground = [255, 255, 255], opacity = 1;
    for (const one of line) {
      const style = getComputedStyle(one), colour = rgba(style.backgroundColor);
      opacity *= Number(style.opacity); ground = over(colour, ground, colour[3] * opacity);
    }
    const colour = rgba(getComputedStyle(element).color), text = over(colour, ground, colour[3] * opacity);
    const [a, b] = [light(text), light(ground)].sort((x, y) => y - x);
    found.push([(a + .05) / (b + .05), element.tagName + ": " + element.textContent.trim().slice(0, 40)]);
  }
  return found.sort((x, y) => x[0] - y[0]);
}"""

Browse = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason='no Playwright here: pip install "emomtl[browser]"'
    )
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH, and EMOMTL_CHROMIUM names none")
    with playwright.sync_playwright() as tool:
        chromium = tool.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def browse(browser: Any) -> Iterator[Browse]:
    """Open a file in a fresh page; whatever it complained of, loaded or had refused by the end
    fails the test.
    """
    contexts: list[Any] = []
    faults: list[str] = []
    pages: list[Any] = []

    def opened(path: Path, **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        shown = context.new_page()
        pages.append(shown)
        shown.add_init_script(VIOLATIONS)
        shown.on(
            "console",
            lambda said: faults.append(said.text) if said.type in ("error", "warning") else None,
        )
        shown.on("pageerror", lambda error: faults.append(str(error)))
        address = path.resolve().as_uri()
        shown.on(
            "request",
            lambda asked: (
                faults.append(asked.url) if asked.url.partition("#")[0] != address else None
            ),
        )
        shown.goto(address)
        return shown

    yield opened
    for shown in pages:
        assert shown.evaluate("[window.violations, window.hacked]") == [[], None]
    for context in contexts:
        context.close()
    assert not faults


def _written(*arguments: object) -> None:
    from emomtl.cli import main

    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    assert stopped.value.code == 0


@pytest.fixture(scope="module")
def written(
    trained: Any, make_desk: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The pages by name: a report on a run that was trained, the audit of its corpora, and a study
    of two rows on them.
    """
    folder = tmp_path_factory.mktemp("pages")
    report, audit = folder / "report.html", folder / "audit.html"
    _written("report", trained.folder, "--html", report)
    desk = make_desk(folder)
    leaked = [
        line.rsplit(",", 2)[0]
        for line in (folder / "mood.csv").read_text("utf-8").splitlines()
        if line.endswith(",test")
    ]
    with (folder / "mood.csv").open("a", encoding="utf-8") as file:
        file.writelines(f"{text},joy,train\n" for text in leaked[:2])
    _written("data", "audit", desk.manifest(), "--html", audit, "--allow", "test-in-train")
    _written("study", _study(desk), "--out", folder / "study", "--runs", folder / "runs")
    return {"report": report, "audit": audit, "study": folder / "study" / "page.html"}


def _study(desk: Any) -> Path:
    """A study's file: two rows with two seeds, whose target has several labels a text, and hostile
    names.
    """
    import tomli_w

    length = {"steps": None, "target": "topics", "target_updates": 4}
    desk.manifest(
        "base",
        sampler={"use": "uniform", "per_step": "all"},
        weighting={"use": "equal"},
        train=length,
    )
    rows = [{"name": HOSTILE[1]}, {"name": "faster $x$", "manifest": {"train": {"lr": 2e-2}}}]
    content = {
        "name": "small",
        "about": HOSTILE[0],
        "base": "base.toml",
        "target": "topics",
        "seeds": [1, 2],
        "rows": rows,
    }
    path = Path(desk.folder) / "study.toml"
    path.write_text(tomli_w.dumps(content), encoding="utf-8")
    return path


PAGES = ["report", "audit", "study"]


@pytest.fixture(params=PAGES)
def any_page(request: pytest.FixtureRequest, written: dict[str, Path]) -> Path:
    return written[request.param]


@pytest.fixture(params=[name for name in PAGES if name != "audit"])
def page_of_tables(request: pytest.FixtureRequest, written: dict[str, Path]) -> Path:
    return written[request.param]


def _open_all(shown: Any) -> None:
    for summary in shown.locator("details > summary").all():
        summary.click()


def _columns(shown: Any) -> tuple[Any, list[float]]:
    """The heading of a column of different numbers, and its numbers by row."""
    for heading in shown.locator("thead th.number:visible").all():
        numbers = _numbers(heading)
        if len(set(numbers)) > 1 and numbers not in (
            sorted(numbers),
            sorted(numbers, reverse=True),
        ):
            return heading, numbers
    raise AssertionError("no column has numbers that are out of order")


def _numbers(heading: Any) -> list[float]:
    found = heading.evaluate(
        "h => [...h.closest('table').tBodies[0].rows].map(row =>"
        " row.cells[h.cellIndex].dataset.n).filter(n => n !== undefined)"
    )
    return [float(number) for number in found]


def test_a_page_opens_from_disk_and_has_nothing_to_complain_of(
    browse: Browse, any_page: Path
) -> None:
    shown = browse(any_page)
    _open_all(shown)
    assert shown.locator("h1").inner_text()
    assert shown.locator("details:not([open])").count() == 0


@pytest.mark.parametrize("press", ["click", "Enter", "Space"])
def test_a_heading_sorts_by_value_down_and_up(
    browse: Browse, page_of_tables: Path, press: str
) -> None:
    shown = browse(page_of_tables)
    _open_all(shown)
    heading, numbers = _columns(shown)
    button = heading.locator("button")
    for order in ("descending", "ascending"):
        button.click() if press == "click" else button.press(press)
        assert heading.get_attribute("aria-sort") == order
        assert _numbers(heading) == sorted(numbers, reverse=order == "descending")
    assert heading.locator("xpath=..").locator("[aria-sort]").count() == 1


def test_the_tab_key_reaches_the_skip_link_and_the_headings(
    browse: Browse, page_of_tables: Path
) -> None:
    shown = browse(page_of_tables)
    shown.keyboard.press("Tab")
    skip = shown.locator(".skip")
    assert skip.evaluate("e => e === document.activeElement && e.getBoundingClientRect().left >= 0")
    shown.keyboard.press("Enter")
    assert shown.url.endswith("#main")
    for _ in range(12):
        shown.keyboard.press("Tab")
        if shown.evaluate("document.activeElement.matches('thead button')"):
            break
    shown.keyboard.press("Enter")
    assert shown.locator("[aria-sort='descending']").count() == 1


def test_a_filter_hides_the_rows_without_what_is_typed(
    browse: Browse, make: Any, tmp_path: Path
) -> None:
    _written(
        "report", *(make(f"run-{number}") for number in range(9)), "--html", tmp_path / "out.html"
    )
    shown = browse(tmp_path / "out.html")
    field = shown.locator(".filter input:visible").first
    rows = field.locator("xpath=ancestor::figure").locator("tbody tr")
    whole = rows.count()
    assert whole >= 9
    for typed, left in (
        ("RUN-3", {"run-3"}),
        ("no row has this", set()),
        ("", {f"run-{n}" for n in range(9)}),
    ):
        field.fill(typed)
        seen = {row.locator("th").inner_text() for row in rows.all() if row.is_visible()}
        assert seen == left


def test_sections_open_by_click_and_by_keyboard(browse: Browse, page_of_tables: Path) -> None:
    shown = browse(page_of_tables)
    details = shown.locator("details").first
    assert not details.locator("table").first.is_visible()
    for open_now in ("click", "Enter", "Space"):
        summary = details.locator("summary").first
        summary.click() if open_now == "click" else summary.press(open_now)
        assert details.locator("table").first.is_visible()
        summary.click()


def test_light_and_dark_differ_and_both_can_be_read(browse: Browse, any_page: Path) -> None:
    shown = browse(any_page)
    _open_all(shown)
    grounds = []
    for scheme in ("light", "dark"):
        shown.emulate_media(color_scheme=scheme)
        grounds.append(shown.evaluate("getComputedStyle(document.documentElement).backgroundColor"))
        worst = shown.evaluate(CONTRAST)
        assert len(worst) > 5
        assert worst[0][0] >= 4.5, (scheme, worst[:5])
    assert grounds[0] != grounds[1]


def test_on_paper_controls_are_gone_and_what_is_closed_is_said(
    browse: Browse, any_page: Path
) -> None:
    shown = browse(any_page)
    shown.emulate_media(media="print")
    for gone in (".filter", "nav", ".skip"):
        assert not any(one.is_visible() for one in shown.locator(gone).all())
    for summary in shown.locator("details:not([open]) > summary").all():
        assert summary.is_visible()
        assert "not printed" in summary.evaluate("e => getComputedStyle(e, '::after').content")


def test_a_phone_never_scrolls_the_page_sideways(browse: Browse, any_page: Path) -> None:
    shown = browse(any_page, viewport={"width": 390, "height": 844})
    _open_all(shown)
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390


def test_hostile_names_do_nothing_and_are_read_as_they_are(
    browse: Browse, make: Any, scores: Any, tmp_path: Path
) -> None:
    def hostile(task: str, value: float | None) -> Any:
        found = scores(task, value)
        for rows in found["tables"].values():
            rows[:] = [{**rows[0], "label": name} for name in HOSTILE]
        return found

    runs = [
        make("one", folder=HOSTILE[1].replace("/", ""), scores=hostile),
        make("one", folder="$x$", scores=hostile),
    ]
    _written("report", *runs, "--html", tmp_path / "out.html")
    shown = browse(tmp_path / "out.html")
    _open_all(shown)
    words = shown.locator("main").inner_text()
    for name in HOSTILE:
        assert name in words
    assert shown.locator("img").count() == 0
    assert shown.locator("script").count() == 1
    for heading in shown.locator("thead button:visible").all()[:40]:
        heading.click()


@pytest.mark.long
@pytest.mark.timeout(2400)
def test_payloads_in_texts_labels_and_names_do_nothing_in_any_page(
    browse: Browse,
    hostile_corpus: Callable[..., Path],
    payloads: dict[str, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import tomli_w

    monkeypatch.chdir(tmp_path)
    labels = list({one: None for group in payloads.values() for one in group if one == one.strip()})
    words = hostile_corpus(tmp_path, labels)
    run, pages = (
        "=run <svg onload=window.hacked=40>\x1b",
        [tmp_path / f"{name}.html" for name in ("report", "audit")],
    )
    _written("train", words, "--out", run)
    _written("report", run, "--html", pages[0], "--full", "--errors", "300")
    _written("data", "audit", words, "--html", pages[1], "--allow", "test-in-train")
    _written(
        "analyse", "attribution", run, "--out", "attribution", "--examples", "100", "--limit", "100"
    )
    hostile_corpus(
        tmp_path / "base", labels[:5], train={"steps": None, "target": "own", "target_updates": 4}
    )
    rows = [
        {"name": one}
        for one in (*payloads["html"][:4], payloads["terminal"][0], payloads["unseen"][0])
    ]
    content = {
        "name": "small",
        "about": payloads["html"][0],
        "base": "base/words.toml",
        "target": "own",
        "seeds": [1],
        "rows": rows,
    }
    (tmp_path / "study.toml").write_text(tomli_w.dumps(content), encoding="utf-8")
    _written("study", "study.toml", "--out", "study", "--runs", "runs")
    pages += [*(tmp_path / "attribution").glob("*.html"), tmp_path / "study" / "page.html"]
    assert len(pages) == 4
    for page in pages:
        shown = browse(page)
        _open_all(shown)
        assert shown.locator("script").count() <= 1
        assert (
            shown.locator(
                "img, iframe, object, embed, base, link, [onload], [onerror], [onfocus], [style]"
            ).count()
            == 0
        )
        for heading in shown.locator("thead button:visible").all()[:20]:
            heading.click()
        shown.mouse.move(300, 300)
