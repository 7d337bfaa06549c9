"""Adaptation of a trained generator to a camera, from a handful of its pairs or from its NIR images alone."""
