"""How good restored faces are: one module a question, all asked by `python -m faceinpaint evaluate`."""
