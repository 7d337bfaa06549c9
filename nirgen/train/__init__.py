"""Training of a generator (Pix2Next, Sections 3.2 and 4.2, and Algorithm 1): from pairs to a model file."""
