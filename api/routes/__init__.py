"""The HTTP operations, one module a resource."""
