-- Rows of one body table, from a JSON array; the places in braces are its name and its columns.
INSERT INTO store.{table} ({columns})
SELECT {columns} FROM json_populate_recordset(null::store.{table}, $1::json)
