-- Says how far some read models ($2 their names, $3 their versions) have come: to the position $1.
UPDATE read.projections AS p SET position = $1::bigint
FROM unnest($2::text[], $3::integer[]) AS m (name, version)
WHERE p.name = m.name AND p.version = m.version
