"""From encoded bytes to the pixels that the engine sees, and masks back to photos."""
