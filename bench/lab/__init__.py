"""What all measurements share: servers, workloads, who is measured, and what it came to."""
