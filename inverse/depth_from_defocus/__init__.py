"""Depth from defocus (Sheng et al. 2023, section 4.3): the disparity that explains a blurred picture by its sharp one.

Everything here is in normalized disparity: 0 is the farthest that may occur, 1 the nearest. `problem.Pair` takes other
units to it.
"""
