"""Alert documents, and the sinks that keep them."""
