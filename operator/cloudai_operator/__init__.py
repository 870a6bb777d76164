"""The operator: a Task becomes a pod, the pod's fate becomes the Task's status."""
