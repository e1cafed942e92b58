-- Who asked for what through which door, and what became of it. Rows are never changed but for
-- the three columns of the end, and never numbered twice.
CREATE TABLE gorgone_audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,              -- seconds
    door TEXT NOT NULL,                 -- zeromq, http
    who TEXT NOT NULL,                  -- the credential's name
    origin TEXT,                        -- the address that it came from
    action TEXT NOT NULL,
    node TEXT NOT NULL,                 -- the id of the node that was to do it
    token TEXT,
    request TEXT NOT NULL,              -- DATA without secrets, cut where it is long
    outcome TEXT NOT NULL,              -- accepted, answered, refused, forbidden
    message TEXT NOT NULL,
    end_code INTEGER,                   -- of what was accepted, once it has ended: 1 OK, 2 KO
    end_reason TEXT,                    -- why KO
    end_time INTEGER                    -- seconds
);

CREATE INDEX idx_gorgone_audit_time ON gorgone_audit (time);
CREATE INDEX idx_gorgone_audit_token ON gorgone_audit (token);
