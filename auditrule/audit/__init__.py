"""The audit log's own language: records, values, and events."""
