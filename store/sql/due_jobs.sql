-- Jobs whose time has come by %(now)s, the longest due first.
SELECT id, settled_until FROM store.schedules
WHERE look_at <= %(now)s
ORDER BY look_at LIMIT %(limit)s
