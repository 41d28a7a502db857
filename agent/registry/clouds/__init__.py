"""What clouds give to their own machines to ask their own registries with; no cloud's module knows another's."""
