"""Tables of ``responses.sqlite``; ``docs/formats.md`` describes them for readers of the file."""

LAYOUT = 2
"""Version of the tables, kept in SQLite's ``user_version``."""

TABLES = f"""
CREATE TABLE IF NOT EXISTS responses (
    key TEXT PRIMARY KEY,       -- hash of all that shapes the answer
    stage TEXT NOT NULL,        -- what was asked: write, label, vote ...
    kind TEXT NOT NULL,         -- kind of the row
    plan INTEGER NOT NULL,      -- place of the plan in the sequence of its kind
    step INTEGER NOT NULL,      -- number of the question within the row
    teacher TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    prompt_version TEXT NOT NULL,
    usd REAL NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    created REAL NOT NULL,      -- Unix time
    body BLOB NOT NULL          -- the response as it came, zlib
);
CREATE INDEX IF NOT EXISTS place ON responses (kind, plan, step);
CREATE TABLE IF NOT EXISTS flights (
    key TEXT PRIMARY KEY, stage TEXT, kind TEXT, teacher TEXT, usd REAL, tokens INTEGER, sent REAL
);
CREATE TABLE IF NOT EXISTS losses (
    key TEXT, stage TEXT, kind TEXT, teacher TEXT, usd REAL, tokens INTEGER, reason TEXT, created REAL
);
CREATE TABLE IF NOT EXISTS batches (teacher TEXT PRIMARY KEY, records TEXT NOT NULL);   -- under way at the Batch API
CREATE TABLE IF NOT EXISTS students (key TEXT PRIMARY KEY, answer TEXT NOT NULL);       -- answers of a student, JSON
PRAGMA user_version = {LAYOUT};
"""
