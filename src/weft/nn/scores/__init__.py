"""Ways to score an encoder's state against a decoder's: one file each, and its name is the recipe's `kind`."""
