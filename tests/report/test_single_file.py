"""A report sent alone: all of the page, and nothing that leads to a file beside it."""

import re
import shutil

from slotbench.report import single_file
from tests.support.pages import Page
from tests.support.project import ROOT


def test_the_committed_report_as_one_file_leads_nowhere_but_into_itself(tmp_path):
    index = tmp_path / "reference" / "index.html"
    index.parent.mkdir()
    shutil.copy(ROOT / "report" / "reference" / "index.html", index)
    path = single_file.write(index)
    assert path == tmp_path / "reference.html"
    whole, alone = Page(index.read_text()), Page(path.read_text())
    assert any(address.startswith("cell.html#") for address in whole.addresses)
    assert {address[:1] for address in alone.addresses if not address.startswith("data:")} == {"#"}
    assert {address[1:] for address in alone.addresses if address.startswith("#")} <= {*alone.ids, "main"}
    assert alone.ids == whole.ids
    assert alone.pictures == whole.pictures
    figures = [len(re.findall("<svg", page)) for page in (index.read_text(), path.read_text())]
    assert figures[0] == figures[1] > 20
