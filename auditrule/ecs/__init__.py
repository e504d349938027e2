"""ECS documents, their mapping from audit events, and the process table."""
