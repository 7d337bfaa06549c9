"""The names of images in label files, which come from strangers."""

from __future__ import annotations
