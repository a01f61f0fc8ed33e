"""What was found on machines: compared with one another, and put into lines."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "note", "problem"]
"""A note is no fault: something that is not there and need not be."""

MAX_SKEW_S = 5.0
"""Clocks may differ by so much; object stores refuse requests that differ by minutes."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the report."""

    name: str
    level: Level
    detail: str
    cure: str = ""
    """What to do about it."""


@dataclass(frozen=True, kw_only=True)
class Examination:
    """What was found on one machine."""

    host: str
    findings: list[Finding]
    clock: float
    """Seconds since 1970 at the end, as the machine counts."""


def clock_problems(examination: Examination, sent: float, received: float) -> list[Finding]:
    """Compare a node's clock with ours.

    Args:
        examination: what the node has found, with its time.
        sent: ours, before it was asked.
        received: ours, when it had answered; it lies at least as far off as what is reported.
    """
    skew = max(sent - examination.clock, examination.clock - received)
    if skew <= MAX_SKEW_S:
        return []
    detail = f"the clock of {examination.host} is wrong by at least {skew:.0f} s"
    return [Finding(name="clock", level="problem", detail=detail, cure="run chrony on every node")]


def differences(examinations: list[Examination]) -> list[Finding]:
    """Compare machines that are to work together: one run is one version of everything."""
    by_version: dict[str, list[str]] = {}
    for examination in examinations:
        (versions,) = [item for item in examination.findings if item.name == "versions"]
        by_version.setdefault(versions.detail, []).append(examination.host)
    if len(by_version) == 1:
        detail = f"the same versions on {len(examinations)} nodes"
        return [Finding(name="nodes", level="ok", detail=detail)]
    detail = "; ".join(f"{', '.join(hosts)}: {text}" for text, hosts in by_version.items())
    cure = "start all nodes from one image, or install with pip -c constraints.txt on each"
    return [Finding(name="nodes", level="problem", detail=detail, cure=cure)]


def finding_lines(examinations: list[Examination], common: list[Finding]) -> list[str]:
    """Put findings into lines for a person; what several machines share is said once."""
    hosts_of: dict[Finding, list[str]] = {}
    for examination in examinations:
        for finding in examination.findings:
            hosts_of.setdefault(finding, []).append(examination.host)
    lines = []
    for finding, hosts in [*hosts_of.items(), *((finding, []) for finding in common)]:
        everywhere = len(hosts) in (0, len(examinations))
        where = "" if everywhere else f" on {', '.join(hosts)}"
        mark = {"ok": "ok  ", "note": "-   ", "problem": "NO  "}[finding.level]
        lines.append(f"{mark}{finding.name}{where}: {finding.detail}")
        if finding.cure:
            lines.append(f"      -> {finding.cure}")
    return lines
