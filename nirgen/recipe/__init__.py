"""Recipes: stages of commands, their dependencies, and which of them have to run."""
