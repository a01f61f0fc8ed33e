"""The pairs SegNet is trained on, streamed from corpus/ through a bounded cache on disk."""
