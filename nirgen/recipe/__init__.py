"""Recipes: commands of nirgen as named stages in a file, run in the order of what they need of each other."""
