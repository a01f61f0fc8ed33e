from pathlib import Path

import pytest

from iem_batch.tools.doctor import examine_nodes
from iem_batch.tools.findings import Examination, clock_problems


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_every_node_is_examined(tmp_path: Path) -> None:
    """Catches a doctor that looks at the driver's machine only."""
    (examination,), common = examine_nodes(str(tmp_path / "run"), None)
    levels = {finding.name: finding.level for finding in examination.findings}
    assert levels["run folder"] == "ok"
    assert [finding.detail for finding in common] == ["the same versions on 1 nodes"]


@pytest.mark.parametrize(
    ("clock", "wrong"), [(100.0, ""), (95.0, ""), (90.0, "10 s"), (115.0, ""), (120.0, "10 s")]
)
def test_clocks(clock: float, wrong: str) -> None:
    """Asked at 100, answered at 110: a task that waits to be started is no wrong clock."""
    examination = Examination(host="a", findings=[], clock=clock)
    problems = clock_problems(examination, sent=100.0, received=110.0)
    assert [wrong in problem.detail for problem in problems] == ([True] if wrong else [])
