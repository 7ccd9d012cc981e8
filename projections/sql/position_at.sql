-- The last position that was recorded at or before a time, 0 if there is none: recorded_at never
-- decreases with the position, so that halving finds it with as many look-ups as the head has bits.
WITH RECURSIVE search (low, high) AS (
    SELECT 0::bigint, coalesce(max(position), 0) FROM ledger.events
    UNION ALL
    SELECT CASE WHEN e.recorded_at <= %(moment)s THEN e.position ELSE s.low END,
           CASE WHEN e.recorded_at <= %(moment)s THEN s.high ELSE e.position - 1 END
    FROM search s
    JOIN ledger.events e ON e.position = (s.low + s.high + 1) / 2
    WHERE s.low < s.high
)
SELECT max(low) FROM search
