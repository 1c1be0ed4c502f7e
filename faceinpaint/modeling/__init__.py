"""The networks, one a file: no files, no pictures, only tensors."""
