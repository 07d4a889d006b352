"""README shows the committed run's numbers."""

import shutil

from slotbench.report import page
from tests.support.project import ROOT


def test_the_committed_readme_is_what_the_committed_run_makes_of_it(tmp_path):
    copy = tmp_path / "README.md"
    shutil.copy(ROOT / "README.md", copy)
    page.update_readme(copy, "reference", ROOT / "results")
    assert copy.read_text() == (ROOT / "README.md").read_text(), "run `slotbench readme`"
