"""A line that runs for months: its settings in a file, and what it tells the service manager."""
