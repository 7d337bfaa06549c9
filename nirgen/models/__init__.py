"""The Pix2Next generator, its extractors and discriminator, and the files that hold them."""
