import io
import tarfile
from pathlib import Path

from tests.calling import Call
from tests.collections_of_photos import write_lmdb, write_tars
from tests.sources.test_tar import add, image


def test_plan_says_what_it_found(tmp_path: Path, call: Call) -> None:
    """Images, shards, bytes, and everything that was not understood, with names."""
    folder = tmp_path / "in"
    folder.mkdir()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("a.jpg", "b.jpg", "a.jpg"):
            add(archive, name, image(name))
        add(archive, "notes.txt", b"hello")
    (folder / "x.tar").write_bytes(buffer.getvalue())
    (folder / "y.tar").write_bytes(b"<html>")
    status, output, error = call("plan", folder, tmp_path / "run", "--shard-size", 2)
    assert status == 0, error
    assert output.splitlines() == [
        f"plan: 4 images (0.0 MB) in 2 shards -> {tmp_path}/run/_run/plan.json",
        "plan: 1 image with the id of an earlier one, to be quarantined as duplicate",
        f"plan: 1 file cannot be read, such as {folder}/y.tar (it does not begin as a tar archive)",
        f"plan: 1 other file, not taken, such as {folder}/x.tar#notes.txt",
    ]


def test_short_flags_of_planning(tmp_path: Path, call: Call) -> None:
    source = write_tars(tmp_path, {f"{n}.jpg": image(str(n)) for n in range(60)})
    flags = ("--limit", 40, "--sample", 50, "--shard-size", 32)
    _, output, _ = call("plan", source, tmp_path / "run", *flags)
    assert "plan: 40 images" in output
    status, _, error = call("plan", source, tmp_path / "run", "--plan.seed=1", *flags)
    assert status == 1
    assert "seed: 0 before, 1 now" in error
    status, _, error = call("plan", source, tmp_path / "other", "--sample", 1.5)
    assert status == 2
    assert "plan.sample is 1.5" in error


def test_convert_and_plan_what_came_out(tmp_path: Path, call: Call) -> None:
    values = {f"{n:04}".encode(): image(str(n)) for n in range(20)}
    source = write_lmdb(tmp_path / "lmdb", values)
    for to in ("parquet", "tar"):
        out = tmp_path / to
        again = ("convert", source, out, "--local", "--to", to, "--shard-size", 8)
        for _ in range(2):
            status, output, error = call(*again)
            assert status == 0, error
            assert f"convert: 20 images -> {out}/part-00000.{to} ..." in output
        assert sorted(file.name for file in out.glob("part-*")) == [
            f"part-0000{n}.{to}" for n in range(3)
        ]
        _, output, _ = call("plan", out, tmp_path / f"run-{to}")
        assert "plan: 20 images" in output
        assert "not images" not in output


def test_convert_refuses_another_format_in_the_same_place(tmp_path: Path, call: Call) -> None:
    """Catches tar and Parquet shards of the same images side by side."""
    source = write_lmdb(tmp_path / "lmdb", {b"a": image("a")})
    call("convert", source, tmp_path / "out", "--local", "--to", "tar")
    again = ("convert", source, tmp_path / "out", "--local")
    assert call(*again)[0] == 0  # the folder says what it holds
    assert [file.name for file in (tmp_path / "out").glob("part-*")] == ["part-00000.tar"]
    status, _, error = call(*again, "--to", "parquet")
    assert status == 1
    assert "to: 'tar' before, 'parquet' now" in error
    status, _, error = call(*again, "--to", "parquet", "--overwrite")
    assert status == 0, error
    assert [file.name for file in (tmp_path / "out").glob("part-*")] == ["part-00000.parquet"]
    status, _, error = call("convert", source, tmp_path / "other", "--to", "zip")
    assert status == 2
    assert "one of parquet, tar" in error
    assert "zip" in error
    assert not (tmp_path / "other").exists()
