"""What goes back through a renderer: depth from defocus, attacks on classifiers, deblurring."""
