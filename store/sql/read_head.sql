-- This database's clock, and the last event of the log; nulls if there is none.
SELECT clock_timestamp(), head.position, head.commit_number, head.recorded_at, head.leaf_hash
FROM (SELECT) AS one
LEFT JOIN LATERAL (
    SELECT position, commit_number, recorded_at, leaf_hash
    FROM ledger.events ORDER BY position DESC LIMIT 1
) AS head ON true
