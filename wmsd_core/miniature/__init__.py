"""A small procedural world in which the whole method runs on a laptop: for learning, tests and ablations only.

Scenes of coloured shapes on a 5x5 board (`scene`), drawn as clips and as pictures (`drawing`), motions along waypoints
(`motion`), texts (`language`), a planner that sees pixels only and errs at a stated rate (`planner`), a verifier that
sees generated pixels only (`verifier`), both behind the protocol of a vision-language model (`vlm`), a folder of image
files with known defects (`pictures`), and a pretrained generator (`network`, `pretrain`).
"""
