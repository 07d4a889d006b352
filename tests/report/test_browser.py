"""The report in a browser: Debian's Chromium opens it as a file, without a network, and axe-core looks at it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from slotbench.report import page, single_file
from slotbench.report.figures.method import first_connections
from slotbench.results import table
from tests.support import synthetic

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("chromium is not installed (Debian: apt-get install chromium)", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install -e .[browser])")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="pip install -e .[browser]")

REFERENCE = Path(__file__).parents[2] / "report" / "reference" / "index.html"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def made_up(tmp_path_factory) -> Path:
    """A synthetic run of two networks, with a missing cell and a failed one whose reason is markup."""
    folder = tmp_path_factory.mktemp("browser")
    cells = synthetic.grid(networks=(("mnist", "lenet"), ("cifar10", "conv2")), ks=(1, 2, 8, 64), seeds=3)
    run = synthetic.SyntheticRun("a & b_c 100% <i>", "authors-code", cells)
    missing, failed = cells[1:3]
    synthetic.train(folder / "results", run, without=(missing, failed))
    note = synthetic.path(folder / "results", run, failed)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.with_name(note.name + ".failed").write_text("no <b>space</b> & 100 % full\n")
    table.write(table.collect(run, folder / "results"), folder / "results" / run.run)
    return page.render(run.run, folder / "results", folder / "report")


@pytest.fixture(params=["made-up", "reference"])
def index(request, made_up) -> Path:
    """The index page of a report: of a synthetic run, and of the committed one."""
    return made_up if request.param == "made-up" else REFERENCE


@pytest.fixture
def visit(browser):
    """Opens a page as a file; in the end, the browser must have had nothing to complain of, and no network to ask."""
    contexts, complaints = [], []

    def opened(path: Path, anchor: str = "", size: str = "desktop", **settings):
        context = browser.new_context(viewport=SIZES[size], **settings)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request", lambda asked: complaints.append(asked.url) if asked.url[:5] not in ("file:", "data:") else None
        )
        page.goto(path.resolve().as_uri() + (f"#{anchor}" if anchor else ""))
        return page

    opened.complaints = complaints  # type: ignore[attr-defined]
    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def links(page) -> set[str]:
    return set(page.eval_on_selector_all("a[href]", "all => all.map((one) => one.href)"))


def cells_of(page) -> list[str]:
    """The cells that an index page links to."""
    return sorted({unquote(urlsplit(link).fragment) for link in links(page) if "cell.html#" in link})


def done_cell(page) -> str:
    """The first cell of the index page's unfolded table of which there is an accuracy."""
    place = next(place for place, text in enumerate(column(page, "test accuracy (%)")) if text != "–")
    link = page.locator("#table-all-cells tbody tr").nth(place).locator("a").first
    return unquote(urlsplit(link.get_attribute("href")).fragment)


def all_cells(page):
    """The index page with the table of its cells unfolded, which a long one is not at first."""
    page.evaluate("document.querySelectorAll('#cells details').forEach((one) => { one.open = true; })")
    return page


def column(page, name: str, table: str = "#table-all-cells") -> list[str]:
    """What the rows that are shown have under a head."""
    heads = [text.strip() for text in page.locator(f"{table} thead th").all_inner_texts()]
    place = heads.index(name) + 1
    return [
        text.strip() for text in page.locator(f"{table} tbody tr:not([hidden]) > :nth-child({place})").all_inner_texts()
    ]


def test_every_link_and_anchor_resolves_in_the_browser(visit, index):
    page = visit(index)
    cells = cells_of(page)
    assert cells
    for link in links(page):
        parts = urlsplit(link)
        path = Path(unquote(parts.path))
        assert parts.scheme == "file"
        assert path.is_file(), link
        if parts.fragment and path == index.resolve():
            assert page.evaluate("(id) => document.getElementById(id) !== null", unquote(parts.fragment)), link
    panel = visit(index.with_name("cell.html"), cells[0])
    for cell in cells[:: max(1, len(cells) // 20)]:
        panel.evaluate("(name) => { location.hash = name; }", cell)
        seed = cell.rpartition("/seed")[2]
        panel.wait_for_function("(seed) => document.title.includes(`seed ${seed}:`)", arg=seed)
        panel.wait_for_selector("pre")
        for link in links(panel):
            assert Path(unquote(urlsplit(link).path)).is_file(), link


def test_a_head_sorts_its_column_by_mouse_and_by_keyboard(visit, index):
    page = all_cells(visit(index))
    head = page.locator("#table-all-cells thead button", has_text="test accuracy (%)")
    before = column(page, "test accuracy (%)")
    head.click()
    page.wait_for_selector("#table-all-cells th[aria-sort=ascending]")
    page.wait_for_timeout(50)

    def numbers():
        shown = column(page, "test accuracy (%)")
        assert sorted(shown) == sorted(before)
        values = [float(text) for text in shown if text != "–"]
        assert shown[len(values) :] == ["–"] * (len(shown) - len(values))  # what has no number comes last
        return values

    assert numbers() == sorted(numbers())
    head.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#table-all-cells th[aria-sort=descending]")
    page.wait_for_timeout(50)
    assert numbers() == sorted(numbers(), reverse=True)
    page.locator("#table-all-cells thead button", has_text="K").first.click()
    page.wait_for_timeout(50)
    ks = [int(text) for text in column(page, "K") if text != "–"]
    assert ks == sorted(ks)  # numbers, not letters: 8 before 64


def test_a_filter_leaves_the_rows_that_it_names(visit, index):
    page = all_cells(visit(index))
    everything = column(page, "selection")
    box = page.locator("#filter-table-all-cells input")
    box.fill("greedy k=8")
    assert all("greedy" in selection for selection in column(page, "selection"))
    assert set(column(page, "K")) == {"8"}
    shown = len(column(page, "K"))
    assert page.locator("#filter-table-all-cells output").inner_text() == f"{shown} of {len(everything)} rows"
    page.locator("#table-all-cells thead button", has_text="seed").click()
    page.wait_for_timeout(50)
    assert len(column(page, "K")) == shown  # sorting keeps what is filtered
    box.fill("no such words")
    assert column(page, "K") == []
    box.fill("")
    assert len(column(page, "selection")) == len(everything)


@pytest.mark.parametrize(("size", "scheme"), [("desktop", "light"), ("phone", "dark")])
def test_axe_finds_nothing_serious_and_nothing_is_wider_than_the_screen(visit, index, size, scheme):
    page = all_cells(visit(index, size=size, color_scheme=scheme))
    cell = done_cell(page)
    panel = visit(index.with_name("cell.html"), cell, size=size, color_scheme=scheme)
    panel.wait_for_selector("canvas")
    single = visit(index.parent / "tables" / "accuracy.html", size=size, color_scheme=scheme)
    for view in (page, panel, single):
        violations = axe.Axe().run(view).response["violations"]
        assert [(each["id"], each["impact"], each["nodes"][0]["html"]) for each in violations] == []
        assert view.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_cells_page_shows_curves_recipe_provenance_and_commands(visit, index):
    page = visit(index)
    cell = next(label for label in cells_of(page) if "authors-code/mnist/lenet/greedy/k8/none" in label)
    panel = visit(index.with_name("cell.html"), cell)
    panel.wait_for_selector("canvas")
    assert panel.locator("h1").inner_text() == "greedy, K = 8, seed 0"
    assert panel.locator("canvas").count() == 3
    assert all(
        len(text) > 40 for text in panel.eval_on_selector_all("[role=img]", "all => all.map((one) => one.ariaLabel)")
    )
    assert panel.locator("h2").all_inner_texts() == [
        "Curves", "Results", "What its layers have selected", "The same cell again, by hand", "This cell", "Recipe",
        "Provenance",
    ]  # fmt: skip
    assert "--selection greedy --k 8 --seed 0" in panel.locator("pre").inner_text()
    panel.get_by_text("Every value").click()
    epochs = panel.locator("details tbody tr").count()
    assert epochs == int(panel.locator("dt", has_text="epochs").first.locator("+ dd").inner_text())
    panel.locator(".u-over").first.hover()
    assert "at epoch" in panel.locator("figcaption").first.inner_text()
    panel.get_by_role("link", name=cell.replace("seed0", "seed1")).click()
    panel.wait_for_function("document.querySelector('h1').textContent.endsWith('seed 1')")


def test_a_cells_page_leads_to_the_next_and_copies_its_commands_and_its_address(visit, index):
    page = visit(index)
    cell = next(cell for cell in cells_of(page) if "authors-code/mnist/lenet/greedy/k8/none" in cell)
    panel = visit(index.with_name("cell.html"), cell)
    panel.wait_for_selector("canvas")
    results = panel.locator("h2", has_text="Results").locator("+ dl")
    assert re.search(r"mean of the seeds\s+\d\d\.\d\d ± \d\.\d\d %, n = \d", results.inner_text())
    assert "98.21 ± 0.02 % (ICML 2021" in results.inner_text()
    for name, expected in (("the same cell again", panel.locator("pre").inner_text()), ("Link to", panel.url)):
        panel.evaluate("window.copied = ''; navigator.clipboard.writeText = async (text) => { window.copied = text; }")
        area = panel.locator("section, li", has_text=re.compile(name, re.IGNORECASE)).last
        area.get_by_role("button", name="Copy").click()
        assert panel.evaluate("window.copied") == expected
    title = panel.title()
    panel.get_by_role("link", name="Next cell").click()
    panel.wait_for_function("(title) => document.title !== title", arg=title)
    panel.get_by_role("link", name="Previous cell").click()
    panel.wait_for_function("(title) => document.title === title", arg=title)


def test_a_slot_machine_is_moved_by_keyboard_and_by_mouse_and_its_weight_only_climbs(visit, made_up):
    page = visit(made_up)
    page.locator(".play summary").click()
    machine, theta = page.locator("#slot-machine"), page.locator("[name=theta]")
    machine.locator("[name=k]").select_option("32")
    machine.locator("[name=seed]").select_option("1")
    theta.focus()
    page.keyboard.press("Home")

    def weight() -> float:
        return float(
            re.search(r"the weight is (−?[\d.]+)\.\s", machine.locator("output").inner_text())[1].replace("−", "-")
        )

    climbed = [weight()]
    for _ in range(40):
        for _ in range(5):
            page.keyboard.press("ArrowRight")
        climbed.append(weight())
    assert climbed == sorted(climbed)
    assert len(set(climbed)) == int(machine.get_attribute("data-levels")) > 2
    options, scores = (values[0] for values in first_connections(1, 32, 1))
    assert climbed[0] == pytest.approx(options[(scores - 2 * options).argmax()], abs=0.006)
    assert climbed[20] == pytest.approx(options[scores.argmax()], abs=0.006)  # θ = 0, where training starts
    box = machine.locator("svg").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.09 * box["width"], box["y"] + 50)
    page.mouse.up()
    assert weight() == climbed[0]
    assert machine.locator("line.option").count() == 32


ONE_METHOD = {"staircases", "levels", "bits", "still-changing", "selected-vs-offered", "memory-and-time", "claims"}
"""Figures in which there is no other method to be seen without one, or none at all."""


def test_a_method_is_switched_off_in_every_chart_of_accuracy_by_keyboard(visit, made_up):
    page = visit(made_up)
    names = page.locator("figure").evaluate_all("all => all.map((figure) => figure.id.replace('figure-', ''))")
    with_boxes = page.locator("figure:has(.switches)").evaluate_all("all => all.map((figure) => figure.id)")
    assert with_boxes == [f"figure-{name}" for name in names if name not in ONE_METHOD]
    assert len(with_boxes) >= 5
    for figure in page.locator("figure:has(.switches)").all():
        methods = [text.strip() for text in figure.locator(".switches label").all_inner_texts()]
        assert len(methods) == len(set(methods)) > 1

        def shown(figure=figure, methods=methods) -> list[set[bool]]:
            """Whether the marks and labels of each method are shown, on a wide screen and on a narrow one."""
            of_method = "(all) => all.map((mark) => mark.style.display !== 'none')"
            ids = [method.replace(" ", "_") for method in methods]
            return [set(figure.locator(f"""[id$="-{name}"]""").evaluate_all(of_method)) for name in ids]

        assert shown() == [{True}] * len(methods)
        boxes = figure.locator(".switches input")
        boxes.first.focus()
        page.keyboard.press("Space")
        assert shown() == [{False}] + [{True}] * (len(methods) - 1)
        for box in boxes.all()[1:]:
            box.uncheck()
        left = figure.locator("svg text:visible").all_text_contents()
        assert left  # titles and axes
        assert [text for text in left if re.search(r"n = \d|published|authors' code", text)] == []


def test_a_report_sent_alone_needs_nothing_beside_it(visit, made_up, tmp_path):
    alone = tmp_path / "sent.html"
    shutil.copy(single_file.write(made_up), alone)
    page = visit(alone)  # which complains of every request but for the page itself
    assert {urlsplit(link).path for link in links(page)} == {urlsplit(page.url).path}
    for link in links(page):
        assert page.evaluate("(id) => document.getElementById(id) !== null", unquote(urlsplit(link).fragment)), link
    assert page.locator("figure svg").count() >= 10
    assert page.locator(".answer").inner_text() == visit(made_up).locator(".answer").inner_text()
    assert page.evaluate("performance.getEntriesByType('resource').length") == 0
    page.locator("#matrix tbody td a").first.click()
    assert page.locator("#filter-table-all-cells").count() == 1


def test_an_address_that_names_no_cell_is_told(visit, made_up):
    for anchor in ("", "../../../x", "a/b/c/d/k1/none/<b>"):
        panel = visit(made_up.with_name("cell.html"), anchor)
        assert panel.locator("#status").inner_text() == "The address names no cell."
    panel = visit(made_up.with_name("cell.html"), "authors-code/mnist/lenet/greedy/k9/none/seed0")
    panel.wait_for_function("document.getElementById('status').textContent === 'This run has no such cell.'")


def test_a_cell_without_a_record_has_a_page_with_its_reason_and_its_command(visit, made_up):
    panel = visit(made_up.with_name("cell.html"), "authors-code/mnist/lenet/greedy/k1/none/seed0")
    panel.wait_for_selector("pre")
    assert panel.locator("#status").inner_text() == "– missing"
    page = visit(made_up)
    failed = page.locator("#not-run li", has_text="space").first
    assert "no <b>space</b> & 100 % full" in failed.inner_text()


def test_without_scripts_all_is_there_but_sorting_and_filtering(visit, made_up):
    page = visit(made_up, java_script_enabled=False)
    assert page.locator("#table-all-cells tbody tr").count() > 20
    assert not page.locator("#filter-table-all-cells").is_visible()
    assert "needs JavaScript" in visit(made_up.with_name("cell.html"), java_script_enabled=False).content()


def test_paper_shows_what_a_screen_folds_away(visit, made_up):
    page = visit(made_up)
    assert page.locator("details:not([open])").count() > 0
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert not page.locator("nav").is_visible()
    assert page.pdf(format="A4")[:5] == b"%PDF-"
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() > 0


def test_the_committed_report_is_at_most_ten_pages_of_a4(visit):
    """Verdicts and figures; tables and cells stay on the screen."""
    page = visit(REFERENCE)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    pages = len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4")))
    assert 1 <= pages <= 10


def test_the_answer_is_on_the_first_screen_and_the_matrix_leads_to_the_evidence(visit, made_up):
    for size in ("desktop", "phone"):
        page = visit(made_up, size=size)
        box = page.locator(".answer").bounding_box()
        assert box["y"] + box["height"] < (900 if size == "desktop" else 844)
        href = page.locator("#matrix tbody td a").first.get_attribute("href")
        row = page.locator(href)
        assert row.locator(".status").count() >= 1
        evidence = row.locator(".evidence summary").first
        if evidence.count():
            evidence.click()
            width = row.locator(".evidence td").first.bounding_box()["width"]
            assert width > 0.8 * page.locator("main").bounding_box()["width"] - 60


CUT = """(texts) => texts.filter((text) => {
  const own = text.getBoundingClientRect(), all = text.ownerSVGElement.getBoundingClientRect();
  const over = Math.max(all.left - own.left, own.right - all.right, all.top - own.top, own.bottom - all.bottom);
  return over > 0.5; // pixels
}).map((text) => text.textContent)"""


@pytest.mark.parametrize("size", SIZES)
def test_no_letter_of_a_figure_is_cut_off(visit, made_up, size):
    page = visit(made_up, size=size)
    letters = page.locator(".picture-of:visible svg text")
    assert letters.count() > 100
    assert letters.evaluate_all(CUT) == []


def test_on_a_phone_the_matrix_is_as_wide_as_the_screen_and_names_the_network_of_each_verdict(visit, made_up):
    page = visit(made_up, size="phone")
    region = page.locator(".scroll:has(#matrix)")
    assert region.evaluate("(box) => box.scrollWidth <= box.clientWidth")
    verdicts = page.locator("#matrix tbody td a")
    shown = verdicts.evaluate_all("all => all.map((link) => getComputedStyle(link, '::after').content)")
    assert set(shown) == {f'" {name}"' for name in ("LeNet-300-100", "CONV-2", "CONV-4", "CONV-6", "VGG-19")}
    for verdict in verdicts.all():
        row = verdict.locator("xpath=ancestor::tr").bounding_box()
        assert row["x"] <= verdict.bounding_box()["x"]
        assert verdict.bounding_box()["x"] + verdict.bounding_box()["width"] <= row["x"] + row["width"] + 1


def test_on_a_phone_panels_stand_under_each_other(visit, made_up):
    page = visit(made_up, size="phone")
    for figure in page.locator("figure:has(.stacked)").all():
        assert figure.locator(".stacked").is_visible()
        assert not figure.locator(".abreast").is_visible()
