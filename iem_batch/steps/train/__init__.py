"""The pairs SegNet is trained on, streamed from export/ through a bounded cache on disk."""
