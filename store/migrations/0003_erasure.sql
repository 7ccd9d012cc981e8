-- Bodies that can be erased. Of erased output the row stays, with what was written (`next_offset`) and
-- when it was erased; the salt goes with the bytes, so that nobody can try out what they were.
ALTER TABLE store.outputs ADD COLUMN erased_at timestamptz;

-- What retention looks through: output that is kept.
CREATE INDEX outputs_kept ON store.outputs (execution_id) WHERE erased_at IS NULL;

-- As before, and: of output that was erased nothing more is kept. An agent that was given up may still
-- send it, and then says how the command ended, which must not be lost with it: its bytes are counted
-- and dropped.
CREATE OR REPLACE FUNCTION store.append_output(
    the_execution uuid, the_fence uuid, the_agent text, the_stream smallint, at_offset bigint,
    skip_to bigint, the_bytes bytea, cap bigint, new_salt bytea, OUT result text, OUT next_offset bigint
) LANGUAGE plpgsql AS $$
DECLARE
    o     store.outputs%ROWTYPE;
    start bigint;
    fresh bytea  := the_bytes;
BEGIN
    PERFORM 1 FROM store.leases l
        WHERE l.execution_id = the_execution AND l.fence = the_fence
          AND (the_agent IS NULL OR l.agent_id = the_agent);
    IF NOT FOUND THEN
        result := 'lease_lost';
        RETURN;
    END IF;
    INSERT INTO store.outputs (execution_id, stream, salt)
        VALUES (the_execution, the_stream, new_salt) ON CONFLICT DO NOTHING;
    SELECT * INTO o FROM store.outputs x
        WHERE x.execution_id = the_execution AND x.stream = the_stream FOR UPDATE;
    next_offset := o.next_offset;
    IF coalesce(skip_to, at_offset) + octet_length(the_bytes) > o.next_offset AND EXISTS (
        SELECT 1 FROM ledger.events e
        WHERE e.stream_id = the_execution AND e.version > 2
          AND (e.type = 'execution.outcome_reported_late'
               OR e.type IN ('execution.completed', 'execution.timed_out', 'execution.canceled')
                  AND e.actor NOT LIKE 'server:%')) THEN
        result := 'lease_lost';
        RETURN;
    END IF;
    IF o.erased_at IS NOT NULL THEN
        start := coalesce(skip_to, at_offset);
        IF at_offset > o.next_offset OR start < at_offset THEN
            result := 'gap';
            RETURN;
        END IF;
        next_offset := greatest(o.next_offset, start + octet_length(the_bytes));
        UPDATE store.outputs x SET next_offset = append_output.next_offset
            WHERE x.execution_id = the_execution AND x.stream = the_stream;
        result := 'ok';
        RETURN;
    END IF;
    IF skip_to IS NOT NULL AND o.omitted_from IS NULL THEN
        IF at_offset <> o.next_offset OR skip_to <= at_offset THEN
            result := 'gap';
            RETURN;
        END IF;
        o.omitted_from := at_offset;
        o.omitted_to := skip_to;
        o.next_offset := skip_to;
    ELSIF skip_to IS NOT NULL AND (at_offset <> o.omitted_from OR skip_to <> o.omitted_to) THEN
        -- There is one cut a stream; only the very same one is a repeat.
        result := 'gap';
        RETURN;
    END IF;
    start := coalesce(skip_to, at_offset);
    IF start > o.next_offset THEN
        result := 'gap';
        RETURN;
    END IF;
    -- The part that is there already was acknowledged before: only what is new is added.
    fresh := substr(fresh, least(o.next_offset - start, octet_length(fresh))::integer + 1);
    IF o.kept_bytes + octet_length(fresh) > cap THEN
        result := 'full';
        RETURN;
    END IF;
    IF octet_length(fresh) > 0 THEN
        INSERT INTO store.output_chunks VALUES (the_execution, the_stream, o.next_offset, fresh);
    END IF;
    IF the_stream = 2 THEN
        o.preview := o.preview || fresh;
        o.preview := substr(o.preview, greatest(octet_length(o.preview) - 4095, 1));
    ELSIF octet_length(o.preview) < 4096 THEN
        o.preview := substr(o.preview || substr(fresh, 1, 4096), 1, 4096);
    END IF;
    next_offset := o.next_offset + octet_length(fresh);
    UPDATE store.outputs x SET
        next_offset = append_output.next_offset, kept_bytes = o.kept_bytes + octet_length(fresh),
        omitted_from = o.omitted_from, omitted_to = o.omitted_to, preview = o.preview
        WHERE x.execution_id = the_execution AND x.stream = the_stream;
    result := 'ok';
END
$$;
