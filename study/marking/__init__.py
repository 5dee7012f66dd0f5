"""From a picture as people have it to its faces, what a network sees of them, and marked files."""
