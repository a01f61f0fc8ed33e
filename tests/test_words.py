from iem_batch.words import count


def test_one_and_many() -> None:
    assert count(1, "image") == "1 image"
    assert count(0, "shard") == "0 shards"
    assert count(5_520_753, "new image") == "5,520,753 new images"
