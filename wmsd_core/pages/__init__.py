"""What every page of the project shares: its environment and style, charts, and pictures as data URIs."""
