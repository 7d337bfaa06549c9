"""From folders of RGB images to folders of NIR images."""
