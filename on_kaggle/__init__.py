"""Inference on Kaggle: packed here, run there by a notebook without network."""
