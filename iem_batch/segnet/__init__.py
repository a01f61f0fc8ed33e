"""SegNet, the network trained on the masks of IEM: plain torch, without storage and without Ray."""
