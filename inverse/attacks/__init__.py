"""Attacks on classifiers through the depth map that a renderer of bokeh is given (AdvBokeh, Huang et al. 2021)."""
