import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from iem_batch.cli import main
from iem_batch.storage import bucket
from iem_batch.tools import doctor
from iem_batch.tools.doctor import GIB, examine
from iem_batch.tools.findings import Examination, Finding, differences, finding_lines
from tests import s3
from tests.pictures import Picture, write_folder


def by_name(examination: Examination) -> dict[str, Finding]:
    return {finding.name: finding for finding in examination.findings}


def test_a_machine_that_can_do_all(tmp_path: Path, pictures: list[Picture]) -> None:
    write_folder(tmp_path / "pictures", pictures)
    found = by_name(examine(str(tmp_path / "run"), str(tmp_path / "pictures")))
    assert found["run folder"].level == found["source"].level == "ok"
    assert "disc_000" in found["source"].detail
    assert list((tmp_path / "run").iterdir()) == [], "the probe has left something"


def test_storage_that_cannot_be_reached(tmp_path: Path) -> None:
    """Catches a check that ends the doctor, or that passes without having read or written."""
    (tmp_path / "file").touch()
    found = by_name(examine(str(tmp_path / "file" / "run"), str(tmp_path / "nowhere")))
    assert found["run folder"].level == found["source"].level == "problem"
    assert "nowhere" in found["source"].detail


def test_what_a_bucket_is_set_to(s3_bucket: str) -> None:
    """The server does not know who pays; an upload that nothing ends is a note."""
    client, name = s3.client(), s3_bucket.removeprefix("s3://")
    finding = by_name(examine(f"{s3_bucket}/run", None))["bucket"]
    assert finding.detail == (
        f"{s3_bucket}/run: region: us-east-1, versions of objects: not kept, unfinished uploads: 0,"
        " rule that ends those: none, who pays: not told, encryption: none"
    )
    assert (finding.level, finding.cure) == ("ok", "")
    client.create_multipart_upload(Bucket=name, Key="x")
    finding = by_name(examine(f"{s3_bucket}/run", None))["bucket"]
    assert "unfinished uploads: 1," in finding.detail
    assert (finding.level, finding.cure.split(":")[0]) == (
        "note",
        "a rule AbortIncompleteMultipartUpload",
    )


def test_answers_of_a_bucket() -> None:
    """What other servers would say, by the forms that S3 documents."""
    by_kms = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    rule = {"Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}
    answers = {
        "get_bucket_location": {"LocationConstraint": "eu-west-1"},
        "get_bucket_versioning": {"Status": "Enabled"},
        "list_multipart_uploads": {"Uploads": [{}, {}], "IsTruncated": True},
        "get_bucket_lifecycle_configuration": {"Rules": [rule]},
        "get_bucket_request_payment": {"Payer": "Requester"},
        "get_bucket_encryption": {"ServerSideEncryptionConfiguration": {"Rules": [by_kms]}},
    }
    assert {name: read(answers[asked]) for name, (asked, read) in bucket.QUESTIONS.items()} == {
        "region": "eu-west-1",
        "versions of objects": "kept",
        "unfinished uploads": "2 or more",
        "rule that ends those": "some",
        "who pays": "requester",
        "encryption": "aws:kms",
    }


def test_the_shared_memory_of_a_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker gives 64 MB, with which Ray is slow or fails."""
    small = (GIB // 16, 0, GIB // 16)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: small)
    found = by_name(examine(None, None))
    assert found["shared memory"].level == found["disk"].level == "problem"
    assert "--shm-size" in found["shared memory"].cure
    assert "run folder" not in found


def test_few_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.resource, "getrlimit", lambda _: (256, 256))
    finding = by_name(examine(None, None))["open files"]
    assert (finding.level, finding.detail.split()[0]) == ("problem", "256")
    assert "ulimit" in finding.cure


def machine(host: str, *details: str) -> Examination:
    findings = [Finding(name="versions", level="ok", detail=details[0])]
    findings += [
        Finding(name="disk", level="problem", detail=d, cure="free some") for d in details[1:]
    ]
    return Examination(host=host, findings=findings, clock=0.0)


def test_versions_that_differ() -> None:
    same = [machine("a", "ray 2.60"), machine("b", "ray 2.60")]
    assert [finding.level for finding in differences(same)] == ["ok"]
    (finding,) = differences([*same, machine("c", "ray 2.49")])
    assert finding.level == "problem"
    assert finding.detail == "a, b: ray 2.60; c: ray 2.49"


def test_what_nodes_share_is_said_once() -> None:
    nodes = [machine("a", "ray 2.60"), machine("b", "ray 2.60", "full")]
    assert finding_lines(nodes, []) == [
        "ok  versions: ray 2.60",
        "NO  disk on b: full",
        "      -> free some",
    ]


@pytest.mark.parametrize(("level", "status"), [("ok", 0), ("note", 0), ("problem", 1)])
def test_exit_status(monkeypatch: pytest.MonkeyPatch, level: str, status: int) -> None:
    ours = machine("a", "ray 2.60")
    finding = Finding(name="disk", level=level, detail="")  # type: ignore[arg-type]
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(doctor, "examine", lambda *_: replace(ours, findings=[finding]))
    try:
        main(["doctor"])
        got = 0
    except SystemExit as end:
        got = int(end.code or 0)
    assert got == status
