import subprocess
import sys

import pytest
import ray
from botocore.exceptions import ClientError

from iem_batch.storage.folder import Folder
from tests import s3

READ = "from iem_batch.storage.folder import Folder; print(Folder({!r}).read_bytes('x'))"


def test_bucket_is_new_and_empty_and_reached_by_children_and_ray_workers(s3_bucket, local_ray):
    folder = Folder(s3_bucket)
    assert folder.names("") == []
    folder.write_bytes("x", b"1")
    child = [sys.executable, "-c", READ.format(s3_bucket)]
    assert subprocess.run(child, check=True, capture_output=True).stdout == b"b'1'\n"
    assert ray.get(ray.remote(folder.read_bytes.__func__).remote(folder, "x")) == b"1"


def test_server_checks_the_secret(s3_server):
    """moto takes any, and would hide that a secret never reached the store."""
    bucket = s3.new_bucket()
    assert s3.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        s3.client(secret="wrong").list_objects_v2(Bucket=bucket)


def test_a_reader_may_only_read(s3_server):
    bucket = s3.new_bucket(readable=True)
    s3.client().put_object(Bucket=bucket, Key="x", Body=b"1")
    reader = s3.client("reader", "reading")
    assert reader.get_object(Bucket=bucket, Key="x")["Body"].read() == b"1"
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.put_object(Bucket=bucket, Key="x", Body=b"2")
