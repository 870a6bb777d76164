"""The release: the document within its limits, and the ConfigMap that holds it."""
