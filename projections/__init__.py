"""Questions, answered ahead of time: read models folded from events, and reads over them."""
