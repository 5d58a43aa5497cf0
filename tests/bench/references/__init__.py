"""What the service is compared with: the least that could do it, and what many would write."""
