"""Folders on disks, object stores and web servers; knows no image and no run."""
