-- People who are signed in to the pages, and the links that sign them in. Operational, not history.
-- Both are known by the SHA-256 of a random secret, and are good for no longer than their token.

CREATE TABLE store.sessions (
    secret_sha256  bytea       PRIMARY KEY,
    token_id       uuid        NOT NULL REFERENCES store.tokens,
    created_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz NOT NULL
);
CREATE INDEX sessions_by_expiry ON store.sessions (expires_at);

-- Each is used up by the first who comes with it.
CREATE TABLE store.sign_in_links (
    secret_sha256  bytea       PRIMARY KEY,
    token_id       uuid        NOT NULL REFERENCES store.tokens,
    expires_at     timestamptz NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON store.sessions, store.sign_in_links TO cronledger_server;
