"""Studies: several arms, several seeds, on the same noise; what was predicted, what came, and how sure it is."""
