"""The embedded PostgreSQL: faults, homes and users."""
