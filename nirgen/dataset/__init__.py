"""From translated images, real ones and their labels to a dataset that a detector trains on."""
