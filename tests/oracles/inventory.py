"""DuckDB's view of *.parquet in the current folder, for tests/inventory.rs: every row, and the questions of
docs/inventory.md."""
import json

import duckdb

db = duckdb.connect()
FILES = "read_parquet('*.parquet', filename = true)"


def query(sql):
    answer = db.sql(sql)
    return [dict(zip(answer.columns, row)) for row in answer.fetchall()]


every = query(f"""
    SELECT * REPLACE (strftime(not_before AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ') AS not_before,
                      strftime(not_after AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ') AS not_after,
                      strftime(file_mtime AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ') AS file_mtime)
    FROM {FILES} ORDER BY filename, file_row_number""".replace("filename = true", "filename = true, file_row_number = true"))
shared = query(f"""
    SELECT spki_sha256 AS key, count(DISTINCT filename) AS machines, list(DISTINCT store) AS stores
    FROM {FILES} WHERE kind = 'key'
    GROUP BY spki_sha256 HAVING count(DISTINCT filename) > 1 ORDER BY key""")
print(json.dumps({"rows": len(every), "all": every, "shared": shared}))
