-- What modules keep with core, under names that begin with their lease's.
CREATE TABLE gorgone_state (
    key TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL                 -- JSON
) WITHOUT ROWID;

-- Which of several instances of a module is the one that acts.
CREATE TABLE gorgone_lease (
    name TEXT PRIMARY KEY NOT NULL,
    fence INTEGER NOT NULL,             -- higher with each holder: who names a lower one is refused
    instance TEXT,                      -- the holder; NULL: it was given back
    epoch TEXT,                         -- and which life of it
    ttl INTEGER NOT NULL,               -- seconds
    sequence INTEGER NOT NULL           -- the last numbered change under this fence
) WITHOUT ROWID;
