"""What the OpenAPI description says, a module for each kind of operation."""
