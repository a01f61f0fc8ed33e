from typing import Any

import pytest

from iem_batch.cli import main
from iem_batch.storage.folder import Folder
from tests.growing import pictures
from tests.notebooks import read_notebook, run_notebook
from tests.pictures import textured_disc


def command(words: list[str]) -> None:
    assert words[0] == "iem-batch"
    main(words[1:])


def shown(notebook: dict[str, Any]) -> list[str]:
    """Name the kinds of what the cells show."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    return [" ".join([output["output_type"], *output.get("data", ())]) for output in outputs]


def test_from_a_bucket_to_a_trained_network(
    s3_bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notebook's cells run one after another on a real store, and were saved with outputs."""
    photos = Folder(f"{s3_bucket}/photos")
    for name, data in pictures(12).items():
        photos.write_bytes(name, data)
    monkeypatch.setenv("BUCKET", s3_bucket)
    notebook = read_notebook("from-a-bucket.ipynb")
    saved = shown(notebook)
    names: dict[str, Any] = {}
    run_notebook(notebook, names, command)
    assert shown(notebook) == saved
    assert "execute_result text/plain image/png" in saved
    assert names["bucket"] == s3_bucket
    (mask,), truth = names["found"].masks, textured_disc(0, 24, 32).mask
    assert (mask & truth).sum() / (mask | truth).sum() > 0.8
