-- Whether a commit whose answer was lost is there: its last event ($1) with its own hash ($2).
SELECT 1 FROM ledger.events WHERE position = $1::bigint AND leaf_hash = decode($2, 'hex')
