"""Where no photograph or video is: a 3D head of our own, and stills that are set in motion."""
