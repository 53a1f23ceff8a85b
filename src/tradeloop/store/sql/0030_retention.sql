-- What housekeeping looks for by age. Keys arrive in the order of their time, so a few block ranges are all the index
-- there is to it: an insert pays nothing that can be measured, and a pass need not read the whole table.
CREATE INDEX inbox_keys_seen_at ON inbox_keys USING brin (seen_at) WITH (pages_per_range = 32, autosummarize = on);
