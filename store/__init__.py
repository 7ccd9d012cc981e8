"""What has happened: the event log and the bodies beside it, on PostgreSQL."""
