"""Detection: a detector fine-tuned on a dataset of nirgen's, and whether generated images help it."""
