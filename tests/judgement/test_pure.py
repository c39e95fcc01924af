"""Judging is a function of what was read: it opens no file, and needs none to exist any more."""

import shutil
import sys
from typing import Any

from sgenet.config.replication import Replication
from sgenet.judgement import judge, judge_results, read


def test_judging_opens_no_file(replication: Replication) -> None:
    results, expected = read(replication), judge(replication)  # which imports all modules
    assert any(cell.images for table in expected.tables for cell in table.cells)  # gains over images are among it
    for folder in ("results", "data", "params"):
        shutil.rmtree(folder)
    opened, watching = list[Any](), True
    sys.addaudithook(lambda event, arguments: watching and event in ("open", "os.listdir") and opened.append(arguments))
    judged = judge_results(results)
    open("a file", "w").close()
    watching = False
    assert [str(arguments[0]) for arguments in opened] == ["a file"]  # the hook works, and saw nothing else
    for name in ("tables", "claims", "main", "problems"):
        assert getattr(judged, name) == getattr(expected, name)
