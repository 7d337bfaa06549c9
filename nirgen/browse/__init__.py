"""A dataset in FiftyOne: loaded, shown, curated, and the decisions carried back."""
