"""What the queue of many workers asks its database beyond what the library does.

All of it lies in a schema of its own, beside the journal. A job's arguments say which run it is, whose, and its
place: `key` among all and `place` in its line, smaller first (see `queue.py`). `attempts` counts how often a job was
taken: who was too slow has an older number, and ends or gives back nothing that another has taken over.
"""

from __future__ import annotations

SCHEMA = "dirigent_queue"
OURS = 1
"""The number of FUNCTIONS, which older workers use meanwhile: another way gets another name."""

TURN = 5340871215  # the journal's writers use the number before
RESCUE = 5340871216
PREPARE = 5340871217
CHANNEL = "dirigent_runs"
TO_WORKERS = """'procrastinate_any_queue_v1', '{"type": "job_inserted", "job_id": 0}'"""

VERSION_TABLE = "CREATE TABLE IF NOT EXISTS dirigent_version (library text NOT NULL, ours integer NOT NULL)"
VERSION = "SELECT library, ours FROM dirigent_version"
SET_VERSION = "WITH gone AS (DELETE FROM dirigent_version) INSERT INTO dirigent_version VALUES (%(library)s, %(ours)s)"
ALONE = f"SELECT pg_advisory_xact_lock({PREPARE})"

FUNCTIONS = f"""
CREATE TABLE IF NOT EXISTS dirigent_workers (
    worker_id bigint PRIMARY KEY REFERENCES procrastinate_workers(id) ON DELETE CASCADE,
    name text NOT NULL,
    slots integer NOT NULL
);
CREATE INDEX IF NOT EXISTS dirigent_jobs_by_key
    ON procrastinate_jobs (((args->>'key')::float8), id) WHERE status = 'todo';
CREATE INDEX IF NOT EXISTS dirigent_jobs_by_lock ON procrastinate_jobs (lock, status);

-- The next run whose turn it is: nobody of its line is at work or before it, and its person has not enough at work.
CREATE OR REPLACE FUNCTION dirigent_fetch_v1(p_worker bigint, p_per_user integer)
RETURNS SETOF procrastinate_jobs LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock({TURN});
    IF NOT EXISTS (SELECT 1 FROM procrastinate_jobs WHERE status = 'todo') THEN
        RETURN;
    END IF;
    -- Who takes a run lives, also one that was silent for so long that it was forgotten.
    INSERT INTO procrastinate_workers AS worker (id) OVERRIDING SYSTEM VALUE VALUES (p_worker)
    ON CONFLICT (id) DO UPDATE SET last_heartbeat = clock_timestamp()
    WHERE worker.last_heartbeat < now() - interval '3 seconds';
    RETURN QUERY
    WITH busy AS (
        SELECT args->>'user' AS person, count(*) AS number
        FROM procrastinate_jobs WHERE status = 'doing' GROUP BY 1
    ), candidate AS (
        SELECT job.id
        FROM procrastinate_jobs AS job LEFT JOIN busy ON busy.person = job.args->>'user'
        WHERE job.status = 'todo'
          AND (job.scheduled_at IS NULL OR job.scheduled_at <= now())
          AND (COALESCE(job.args->>'user', '') = '' OR COALESCE(busy.number, 0) < p_per_user)
          AND NOT EXISTS (
              SELECT 1 FROM procrastinate_jobs AS other WHERE other.lock = job.lock AND other.status = 'doing'
          )
          AND NOT EXISTS (
              SELECT 1 FROM procrastinate_jobs AS other
              WHERE other.lock = job.lock AND other.status = 'todo'
                AND ((other.args->>'place')::float8, other.id) < ((job.args->>'place')::float8, job.id)
          )
        ORDER BY (job.args->>'key')::float8, job.id
        LIMIT 1
        FOR UPDATE OF job SKIP LOCKED
    )
    UPDATE procrastinate_jobs AS taken SET status = 'doing', worker_id = p_worker
    FROM candidate WHERE taken.id = candidate.id
    RETURNING taken.*;
END;
$$;

CREATE OR REPLACE FUNCTION dirigent_finish_v1(p_job bigint, p_attempts integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    gone procrastinate_jobs;
BEGIN
    DELETE FROM procrastinate_jobs
    WHERE id = p_job AND attempts = p_attempts AND status = 'doing' RETURNING * INTO gone;
    IF gone.id IS NOT NULL AND EXISTS (
        SELECT 1 FROM procrastinate_jobs
        WHERE status = 'todo' AND (lock = gone.lock OR args->>'user' = gone.args->>'user')
    ) THEN
        PERFORM pg_notify({TO_WORKERS});
    END IF;
END;
$$;

-- Another worker takes it up; unless it was to be ended, or waits already to be worked on once more.
CREATE OR REPLACE FUNCTION dirigent_put_back_v1(p_job bigint, p_attempts integer, p_seconds float8)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM procrastinate_jobs AS job
    WHERE id = p_job AND attempts = p_attempts AND status = 'doing' AND (abort_requested OR EXISTS (
        SELECT 1 FROM procrastinate_jobs AS other
        WHERE other.queueing_lock = job.queueing_lock AND other.status = 'todo'
    ));
    BEGIN
        UPDATE procrastinate_jobs
        SET status = 'todo', attempts = attempts + 1, worker_id = NULL,
            scheduled_at = CASE WHEN p_seconds > 0 THEN now() + make_interval(secs => p_seconds) END
        WHERE id = p_job AND attempts = p_attempts AND status = 'doing';
    EXCEPTION WHEN unique_violation THEN
        DELETE FROM procrastinate_jobs WHERE id = p_job AND attempts = p_attempts AND status = 'doing';
    END;
    PERFORM pg_notify({TO_WORKERS});
END;
$$;

CREATE OR REPLACE FUNCTION dirigent_beat_v1(p_worker bigint, p_name text, p_slots integer)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO procrastinate_workers (id, last_heartbeat) OVERRIDING SYSTEM VALUE VALUES (p_worker, clock_timestamp())
    ON CONFLICT (id) DO UPDATE SET last_heartbeat = clock_timestamp();
    INSERT INTO dirigent_workers VALUES (p_worker, p_name, p_slots) ON CONFLICT (worker_id) DO NOTHING;
END;
$$;
"""  # noqa: S608  # nothing but the constants above

FETCH = "SELECT * FROM dirigent_fetch_v1(%(worker)s, %(per_user)s)"
FINISH = "SELECT dirigent_finish_v1(%(job)s, %(attempts)s)"
PUT_BACK = "SELECT dirigent_put_back_v1(%(job)s, %(attempts)s, %(seconds)s)"
BEAT = "SELECT dirigent_beat_v1(%(worker)s, %(name)s, %(slots)s)"
HELD = """
SELECT id, attempts, COALESCE(worker_id = %(worker)s, false) AS mine FROM procrastinate_jobs
WHERE status = 'doing' AND lock IS NOT NULL AND (id = ANY(%(jobs)s::bigint[]) OR worker_id = %(worker)s)
"""
TRY_RESCUE = f"SELECT pg_try_advisory_xact_lock({RESCUE}) AS mine"
STALLED = """
SELECT job.id, (job.args->>'run')::bigint AS run, job.attempts
FROM procrastinate_jobs AS job LEFT JOIN procrastinate_workers AS worker ON worker.id = job.worker_id
WHERE job.status = 'doing'
  AND (worker.id IS NULL OR worker.last_heartbeat < now() - make_interval(secs => %(seconds)s))
  AND pg_postmaster_start_time() < now() - make_interval(secs => %(seconds)s)
"""
FORGET_WORKERS = """
DELETE FROM procrastinate_workers AS worker WHERE last_heartbeat < now() - make_interval(secs => %(seconds)s)
  AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs WHERE worker_id = worker.id)
"""
CANCEL = """
WITH gone AS (
    DELETE FROM procrastinate_jobs WHERE status = 'todo' AND (args->>'run')::bigint = %(run)s
)
UPDATE procrastinate_jobs SET abort_requested = true
WHERE status = 'doing' AND (args->>'run')::bigint = %(run)s AND lock IS NOT NULL
RETURNING id, attempts
"""
KNOWN = """
SELECT DISTINCT (args->>'run')::bigint AS run FROM procrastinate_jobs
WHERE status IN ('todo', 'doing') AND lock IS NOT NULL
"""
LOAD = """
SELECT count(*) FILTER (WHERE status = 'todo' AND lock IS NOT NULL) AS waiting,
       count(*) FILTER (WHERE status = 'doing') AS at_work
FROM procrastinate_jobs
"""
WORKERS = """
SELECT named.name, named.slots, count(job.id) AS at_work
FROM dirigent_workers AS named JOIN procrastinate_workers AS worker ON worker.id = named.worker_id
LEFT JOIN procrastinate_jobs AS job ON job.worker_id = worker.id AND job.status = 'doing'
WHERE worker.last_heartbeat >= now() - make_interval(secs => %(seconds)s)
GROUP BY worker.id, named.name, named.slots ORDER BY worker.id
"""
TELL = "SELECT pg_notify(%(channel)s, %(said)s)"
