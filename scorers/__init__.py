"""One post-hoc method (or family) per file; each registers itself by name. Nothing here is imported by name."""
