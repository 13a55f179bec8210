"""Pictures of the line, for people: annotated videos and a window."""
