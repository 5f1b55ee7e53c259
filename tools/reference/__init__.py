"""Tiny random checkpoints and transformers' outputs for them: one module per architecture, what they share in the others."""
