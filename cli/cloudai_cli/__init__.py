"""`kubectl cloudai`: what users and engineers on call ask."""
