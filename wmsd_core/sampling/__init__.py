"""Noise levels, trajectories and solver steps of flow-matching models.

The convention, here and everywhere in the project (it is that of diffusers):

    noise level sigma in [0, 1];  x_sigma = (1 - sigma) x_0 + sigma eps;  x_0 is data, eps is standard normal noise;
    the network predicts v = eps - x_0 = dx/dsigma;  a sampler walks a grid from sigma = 1 down to sigma = 0.

The paper (arXiv version, section 3) lets flow time run from noise to data: t = 1 - sigma, and its velocity is -v. Every
squared difference of two velocities, and so every equation of the method, is the same in both.

Latents that are given (the first frame of an image-to-video model) are never noised and never stepped.
"""
