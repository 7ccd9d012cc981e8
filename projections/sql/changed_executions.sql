-- Which streams the newest events after a position belong to, and the last of each.
SELECT stream_id, max(position)
FROM (
    SELECT stream_id, position FROM ledger.events
    WHERE position > %(after)s ORDER BY position DESC LIMIT %(limit)s
) AS newest
GROUP BY stream_id
