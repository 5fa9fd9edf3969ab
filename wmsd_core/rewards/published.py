"""Reward models that others have published, by their names on the hub. Settings name them without reading torch."""

PICKSCORE = "yuvalkirstain/PickScore_v1"
PICKSCORE_PROCESSOR = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
SCALE = 26.0
"""What PickScore is divided by as a reward."""
