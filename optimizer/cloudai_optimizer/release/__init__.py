"""What is published: the document within its limits, and the ConfigMap that holds it."""
