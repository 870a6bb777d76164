"""What every CloudAI process needs to talk to Kubernetes: wire, reflector, lease, events, settings, health."""
