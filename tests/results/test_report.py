"""Reports: nothing is lost on the way to a file and back, and the page needs nothing but itself."""

import io
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest

from counterfactory.errors import CounterfactoryError
from counterfactory.metrics import mean_interval
from counterfactory.results import Estimate, Figure, Report, Reproduce

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture
def report() -> Report:
    return Report(
        "Error of do(angle) <b>&",
        [
            {"model": "ours <i>", "error": Estimate(0.1, 0.05, 0.15, 200), "steps": 1200, "ok": True},
            {"model": "rival", "error": Estimate(0.4, 0.3, 0.5, 200), "steps": 3, "extra": math.inf},
        ],
        controls=[{"model": "unchanged", "error": Estimate(0.9, math.nan, math.nan, 1)}],
        notes=["a note with [brackets] & <tags>"],
        figures=[Figure("A", "a described picture", PNG), Figure("B", 'quotes " inside', SVG)],
        reproduce=Reproduce("counterfactory verify x --seeds 0,1", (0, 1)),
    )


def test_columns_are_the_union_in_order_of_appearance(report: Report) -> None:
    assert report.columns == ("model", "error", "steps", "ok", "extra")
    assert [report.is_numeric(c) for c in report.columns] == [False, True, True, False, True]


def test_save_and_load_keep_every_cell_also_nan_and_infinity(report: Report, tmp_path) -> None:
    path = tmp_path / "deep" / "report.json"
    report.save(path)
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON"))
    back = Report.load(path)
    assert back.to_dict() == report.to_dict()
    assert back.rows == report.rows and back.figures == report.figures and back.reproduce == report.reproduce
    assert back.rows[1]["extra"] == math.inf and math.isnan(back.controls[0]["error"].low)
    assert not list(path.parent.glob("*.part"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda t: t[: len(t) // 2],
        lambda t: t.replace("0.05", "0.01"),
        lambda t: "[]",
        lambda t: t.replace("report/1", "edit/1"),
    ],
)
def test_damaged_or_altered_files_are_refused(report: Report, tmp_path, damage) -> None:
    path = tmp_path / "report.json"
    report.save(path)
    path.write_text(damage(path.read_text()))
    with pytest.raises(CounterfactoryError, match=r"cannot be read as report") as error:
        Report.load(path)
    assert all(error.value.parts().values())


def test_a_report_that_cannot_be_written_leaves_the_old_one(report: Report, tmp_path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CounterfactoryError, match="could not be written"):
        report.save(tmp_path / "file" / "report.json")
    (tmp_path / "report.json").mkdir()
    with pytest.raises(CounterfactoryError, match="could not be written"):
        report.save(tmp_path / "report.json")
    assert not (tmp_path / "report.json.part").exists()


def test_numpy_scalars_become_plain_and_arrays_are_refused_with_their_place() -> None:
    report = Report("t", [{"a": np.float32(0.5), "b": np.int64(3), "c": np.float64(1.5), "d": np.bool_(True)}])
    assert [type(cell) for cell in report.rows[0].values()] == [float, int, float, bool]
    with pytest.raises(CounterfactoryError, match="row 1 of the controls, column 'x'"):
        Report("t", [], controls=[{"x": 1}, {"x": np.zeros(2)}])


def test_estimates() -> None:
    assert str(Estimate(0.25, 0.2, 0.3, 40)) == "0.25 [0.2, 0.3] n=40"
    with pytest.raises(CounterfactoryError, match="upside down"):
        Estimate(0.5, 0.6, 0.4, 3)
    assert Report("t", [{"a": mean_interval(np.arange(4.0))}]).rows[0]["a"] == Estimate(*mean_interval(np.arange(4.0)))


def test_figures_need_a_picture_and_a_description() -> None:
    with pytest.raises(CounterfactoryError, match="no picture"):
        Figure("A", "alt", b"GIF89a")
    with pytest.raises(CounterfactoryError, match="no description"):
        Figure("A", "  ", PNG)


def test_the_terminal_table_shows_everything(report: Report) -> None:
    out = io.StringIO()
    report.print(out)
    shown = out.getvalue()
    for piece in (
        "Error of do(angle) <b>&",
        "ours <i>",
        "[0.05,",
        "n=200",
        "1,200",
        "yes",
        "inf",
        "unchanged",
        "[brackets]",
        "counterfactory verify x --seeds 0,1",
    ):
        assert piece in shown
    assert "alert" not in shown


class Page(HTMLParser):
    """The page as browsers see it: tags with their attributes, the text, and whether every tag is closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words, self.open = "", []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "path", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if not self.open or self.open[-1] != "style":
            self.words += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_the_page_is_whole_accessible_and_asks_for_nothing_outside(report: Report, tmp_path) -> None:
    report.html(tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert page.all("html") == [{"lang": "en"}] and len(page.all("main")) == 1 and len(page.all("h1")) == 1
    assert [m["content"] for m in page.all("meta") if m.get("name") == "viewport"] == [
        "width=device-width, initial-scale=1"
    ]
    assert (
        "Error of do(angle) <b>&" in page.words
        and "a note with [brackets] & <tags>" in page.words
        and "ours <i>" in page.words
    )
    # every image is described and inside the page; a script inside an SVG stays inside its image
    assert [i["alt"] for i in page.all("img")] == ["a described picture", 'quotes " inside']
    assert all(i["src"].startswith("data:image/") for i in page.all("img")) and not page.all("script")
    assert not re.search(r"(src|href|action)=\"(?!data:)|url\(|@import|http-equiv=\"refresh\"", text)
    assert {
        "http-equiv": "Content-Security-Policy",
        "content": "default-src 'none'; img-src data:; style-src 'unsafe-inline'",
    } in page.all("meta")
    # table headers say what they head; the scrolling region can be reached by keyboard
    headers = page.all("th")
    assert [h["scope"] for h in headers] == ["col"] * 5 + ["row", "row", "rowgroup", "row"]
    assert [d["tabindex"] for d in page.all("div")] == ["0"]
    assert "prefers-color-scheme: dark" in text
    assert "".join(report.reproduce.command.split()) in "".join(page.words.split())


def test_text_on_the_page_has_contrast_in_the_light_and_in_the_dark() -> None:
    from counterfactory.results.page import _STYLE

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = _STYLE.split("@media")
    for theme in (light, dark):
        colours = dict(re.findall(r"--(\w+): (#\w{6})", theme))
        for paper in ("paper", "band"):
            for ink in ("ink", "soft"):
                low, high = sorted((luminance(colours[ink]), luminance(colours[paper])))
                assert (high + 0.05) / (low + 0.05) >= 4.5  # WCAG AA


def test_whiskers_lie_on_one_scale_a_column() -> None:
    rows = [{"m": "a", "e": Estimate(1.0, 0.0, 2.0, 5)}, {"m": "b", "e": Estimate(-2.0, -2.0, -1.0, 5)}]
    page = Page(Report("t", rows)._repr_html_())
    lines = [p["d"] for p in page.all("path") if "H" in p["d"]]
    assert lines == ["M60.0 5H117.0", "M3.0 5H31.5"]  # from -2 at 3 to 2 at 117
    assert [c["cx"] for c in page.all("circle")] == ["88.5", "3.0"]
    assert all(s["aria-hidden"] == "true" for s in page.all("svg"))


def test_reports_come_without_torch() -> None:
    code = "import sys; from counterfactory.results import Report; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_source_hash_is_that_of_the_package() -> None:
    from counterfactory.results.report import source_hash

    assert re.fullmatch(r"[0-9a-f]{16}", source_hash()) and Reproduce().source == source_hash()
    assert Reproduce().versions["counterfactory"] and "torch" in Reproduce().versions
