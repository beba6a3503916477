"""What looks after the store: deletion, garbage, namespaces, quotas, addresses, what expires."""
