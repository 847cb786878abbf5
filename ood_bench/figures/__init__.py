"""Histograms, ROC and risk-coverage curves of stored scores: on a terminal, or as a file by matplotlib."""
