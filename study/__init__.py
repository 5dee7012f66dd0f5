"""Reference study of attentive one-dimensional heatmap regression for facial landmarks."""
