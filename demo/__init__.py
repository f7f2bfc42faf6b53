"""The embedded corpus: synthesis of its sounds, and the data set made of them."""
