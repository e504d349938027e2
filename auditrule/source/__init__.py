"""Where bytes come from: log files, archives, streams, and /proc."""
