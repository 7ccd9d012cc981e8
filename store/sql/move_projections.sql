-- Says how far some read models ($2, each its name and version) have come: to the position $1.
UPDATE read.projections SET position = $1::bigint
WHERE name || ' ' || version = ANY($2::text[])
