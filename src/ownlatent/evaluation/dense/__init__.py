"""What the encoder's maps know of every place in an image: classes, depth, boxes."""
