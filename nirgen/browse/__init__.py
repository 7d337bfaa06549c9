"""Show a dataset in FiftyOne, curate it there, and read the decisions back."""
