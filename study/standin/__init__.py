"""Stand-in faces: a 3D head of our own, drawn with exact landmarks, for where no photograph is."""
