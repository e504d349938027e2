"""EQL, the Event Query Language of Elasticsearch."""
