-- The last position of the ledger, 0 if nothing is recorded.
SELECT coalesce(max(position), 0) FROM ledger.events
