"""The tables of a results database, and the views that show what is in them.

Nothing is said twice: what the views show is read out of the text that the hash covers.
"""

from __future__ import annotations

VERSION = 2  # 1 had no chain
APPLICATION_ID = 0x65646164  # "edad": tells our files from other databases

SCHEMA = """
CREATE TABLE records (id INTEGER PRIMARY KEY, record TEXT NOT NULL, hash BLOB NOT NULL);
CREATE TABLE genesis (hash BLOB NOT NULL);
CREATE TABLE heads (
  run_id INTEGER PRIMARY KEY, run TEXT NOT NULL UNIQUE,
  number INTEGER NOT NULL, records INTEGER NOT NULL, hash BLOB NOT NULL
);
CREATE INDEX records_by_kind ON records (json_extract(record, '$.kind'), json_extract(record, '$.captured_at'));

CREATE VIEW verdicts AS
  SELECT r.id, h.run_id, json_extract(r.record, '$.frame_id') AS frame_id, json_extract(r.record, '$.source') AS source,
    json_extract(r.record, '$.captured_at') AS captured_at, json_extract(r.record, '$.verdict') AS verdict,
    json_extract(r.record, '$.pred_score') AS pred_score, json_extract(r.record, '$.pred_label') AS pred_label,
    json_extract(r.record, '$.raw_score') AS raw_score, json_extract(r.record, '$.raw_verdict') AS raw_verdict,
    json_extract(r.record, '$.ruled_score') AS ruled_score, json_extract(r.record, '$.part.name') AS part,
    json_extract(r.record, '$.timing') AS timing, json_extract(r.record, '$.bundle') AS bundle,
    json_extract(r.record, '$.engine') AS engine, json_extract(r.record, '$.image.file') AS image
  FROM records r LEFT JOIN heads h ON h.run = substr(json_extract(r.record, '$.id'), 1, 16)
  WHERE json_extract(r.record, '$.kind') = 'verdict';

CREATE VIEW results AS SELECT * FROM verdicts;

CREATE VIEW regions AS
  SELECT r.id AS verdict_id, json_extract(e.value, '$.box[0]') AS x, json_extract(e.value, '$.box[1]') AS y,
    json_extract(e.value, '$.box[2]') AS width, json_extract(e.value, '$.box[3]') AS height,
    json_extract(e.value, '$.area') AS area, json_extract(e.value, '$.peak') AS peak
  FROM records r, json_each(r.record, '$.regions') e WHERE json_extract(r.record, '$.kind') = 'verdict';

CREATE VIEW faults AS
  SELECT r.id, h.run_id, json_extract(r.record, '$.frame_id') AS frame_id, json_extract(r.record, '$.source') AS source,
    json_extract(r.record, '$.captured_at') AS captured_at, json_extract(r.record, '$.fault') AS reason
  FROM records r LEFT JOIN heads h ON h.run = substr(json_extract(r.record, '$.id'), 1, 16)
  WHERE json_extract(r.record, '$.kind') = 'fault';

CREATE VIEW runs AS
  SELECT h.run_id AS id, json_extract(b.record, '$.version') AS version, json_extract(b.record, '$.at') AS started_at,
    (SELECT json_extract(e.record, '$.at') FROM records e WHERE json_extract(e.record, '$.kind') = 'end'
      AND json_extract(e.record, '$.run') = h.run) AS ended_at
  FROM records b JOIN heads h ON h.run = json_extract(b.record, '$.run')
  WHERE json_extract(b.record, '$.kind') = 'begin';
"""
