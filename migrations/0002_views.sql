-- The views people read: `sqlite3 darkroom.db 'select * from job_status'`.
-- Columns are only ever added; a test guards their names. Times are UTC.

-- The clock in Unix milliseconds, and the steps of the poll grids (the daemon writes its intervals
-- at start): the interval and a hundredth of it, as `step` in src/domain/schedule.rs.
CREATE VIEW clock AS SELECT
  CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) AS now_ms,
  training + training / 100 AS training_ms, job + job / 100 AS job_ms, download + download / 100 AS download_ms
FROM (SELECT
  coalesce((SELECT json_extract(value, '$.training') FROM settings WHERE name = 'poll'), 300000) AS training,
  coalesce((SELECT json_extract(value, '$.job')      FROM settings WHERE name = 'poll'), 5000)   AS job,
  coalesce((SELECT json_extract(value, '$.download') FROM settings WHERE name = 'poll'), 2000)   AS download);

-- SQLite looks a row up by id in the next three views only if it can flatten them: all parts must
-- agree in the affinity of each column (hence the cast), whoever joins them must not ORDER BY an
-- expression, and one statement must stay below 500 selects (so join only one of them). Otherwise
-- every lookup builds the whole view: seconds instead of milliseconds with many rows.

-- What others call a piece of work when they wait for it.
CREATE VIEW named AS
SELECT 'model' AS kind, t.id, 'model ' || t.name AS label, t.state, t.error FROM models t
UNION ALL
SELECT 'upload' AS kind, t.id, 'photo ' || t.file_name AS label, t.state, t.error FROM uploads t
UNION ALL
SELECT 'training' AS kind, t.id, 'training of ' || (SELECT name FROM models m WHERE m.id = t.model_id) AS label, t.state, t.error FROM trainings t
UNION ALL
SELECT 'job' AS kind, t.id, t.type || ' job' || coalesce(' ' || t.step, '') AS label, t.state, t.error FROM jobs t
UNION ALL
SELECT 'output' AS kind, t.id, t.media || ' ' || (t.position + 1) || ' of job ' || t.job_id AS label, t.state, t.error FROM outputs t
UNION ALL
SELECT 'change' AS kind, t.id, t.action || ' of ' || CASE t.target_kind
    WHEN 'model' THEN 'model ' || (SELECT name FROM models m WHERE m.id = t.model_id)
    WHEN 'upload' THEN 'photo ' || (SELECT file_name FROM uploads u WHERE u.id = t.target)
    ELSE (SELECT o.media FROM outputs o WHERE o.id = t.target) || ' ' || t.target END AS label, t.state, t.error FROM changes t;

-- Every piece of work, whatever its kind. next_at: the stored due time, for a running row the next
-- point of its poll grid.
CREATE VIEW work AS
SELECT 'model' AS kind, t.id, 'model ' || t.name AS label, t.id AS model_id,
  t.state, t.due_at, t.waiting_for, t.intent, t.attempt, t.remote_id, t.accepted_at, t.poll_anchor,
  t.cancel_requested_at, t.flag, t.note, t.error, t.error_class, t.created_at, t.updated_at, t.finished_at,
  t.retry_of, t.retried_by,
  CASE WHEN t.state <> 'running' OR t.due_at > c.now_ms THEN t.due_at
    ELSE t.poll_anchor + ((c.now_ms - t.poll_anchor) / c.job_ms + 1) * c.job_ms END AS next_at
FROM models t CROSS JOIN clock c
UNION ALL
SELECT 'upload' AS kind, t.id, 'photo ' || t.file_name AS label, t.model_id AS model_id,
  t.state, t.due_at, t.waiting_for, t.intent, t.attempt, t.remote_id, t.accepted_at, t.poll_anchor,
  t.cancel_requested_at, t.flag, t.note, t.error, t.error_class, t.created_at, t.updated_at, t.finished_at,
  t.retry_of, t.retried_by,
  CASE WHEN t.state <> 'running' OR t.due_at > c.now_ms THEN t.due_at
    ELSE t.poll_anchor + ((c.now_ms - t.poll_anchor) / c.job_ms + 1) * c.job_ms END AS next_at
FROM uploads t CROSS JOIN clock c
UNION ALL
SELECT 'training' AS kind, t.id, 'training of ' || (SELECT name FROM models m WHERE m.id = t.model_id) AS label, t.model_id AS model_id,
  t.state, t.due_at, t.waiting_for, t.intent, t.attempt, t.remote_id, t.accepted_at, t.poll_anchor,
  t.cancel_requested_at, t.flag, t.note, t.error, t.error_class, t.created_at, t.updated_at, t.finished_at,
  t.retry_of, t.retried_by,
  CASE WHEN t.state <> 'running' OR t.due_at > c.now_ms THEN t.due_at
    ELSE t.poll_anchor + ((c.now_ms - t.poll_anchor) / c.training_ms + 1) * c.training_ms END AS next_at
FROM trainings t CROSS JOIN clock c
UNION ALL
SELECT 'job' AS kind, t.id, t.type || ' job' || coalesce(' ' || t.step, '') AS label, t.model_id AS model_id,
  t.state, t.due_at, t.waiting_for, t.intent, t.attempt, t.remote_id, t.accepted_at, t.poll_anchor,
  t.cancel_requested_at, t.flag, t.note, t.error, t.error_class, t.created_at, t.updated_at, t.finished_at,
  t.retry_of, t.retried_by,
  CASE WHEN t.state <> 'running' OR t.due_at > c.now_ms THEN t.due_at
    ELSE t.poll_anchor + ((c.now_ms - t.poll_anchor) / c.job_ms + 1) * c.job_ms END AS next_at
FROM jobs t CROSS JOIN clock c
UNION ALL
SELECT 'output' AS kind, t.id, t.media || ' ' || (t.position + 1) || ' of job ' || t.job_id AS label, CAST(NULL AS TEXT) AS model_id,
  t.state, t.due_at, t.waiting_for, t.intent, t.attempt, t.remote_id, t.accepted_at, t.poll_anchor,
  t.cancel_requested_at, t.flag, t.note, t.error, t.error_class, t.created_at, t.updated_at, t.finished_at,
  t.retry_of, t.retried_by,
  CASE WHEN t.state <> 'running' OR t.due_at > c.now_ms THEN t.due_at
    ELSE t.poll_anchor + ((c.now_ms - t.poll_anchor) / c.download_ms + 1) * c.download_ms END AS next_at
FROM outputs t CROSS JOIN clock c
UNION ALL
SELECT 'change' AS kind, t.id, t.action || ' of ' || CASE t.target_kind
    WHEN 'model' THEN 'model ' || (SELECT name FROM models m WHERE m.id = t.model_id)
    WHEN 'upload' THEN 'photo ' || (SELECT file_name FROM uploads u WHERE u.id = t.target)
    ELSE (SELECT o.media FROM outputs o WHERE o.id = t.target) || ' ' || t.target END AS label, t.model_id AS model_id,
  t.state, t.due_at, t.waiting_for, t.intent, t.attempt, t.remote_id, t.accepted_at, t.poll_anchor,
  t.cancel_requested_at, t.flag, t.note, t.error, t.error_class, t.created_at, t.updated_at, t.finished_at,
  t.retry_of, t.retried_by,
  CASE WHEN t.state <> 'running' OR t.due_at > c.now_ms THEN t.due_at
    ELSE t.poll_anchor + ((c.now_ms - t.poll_anchor) / c.job_ms + 1) * c.job_ms END AS next_at
FROM changes t CROSS JOIN clock c;

-- Why a thing is not done yet and what happens next, as a sentence. A quarantine goes before all
-- else; one of another account stops looks, too, and an undecided one verdicts on lost calls.
CREATE VIEW why AS
SELECT w.kind, w.id, w.label, w.next_at, coalesce(
  (SELECT CASE w.state WHEN 'queued' THEN 'nothing is sent: ' ELSE 'nothing is looked at: ' END ||
     json_extract(value, '$.reason') ||
     CASE name WHEN 'quarantine' THEN ' (in quarantine: `darkroom doctor` explains, `darkroom release` opens it)' ELSE '' END
   FROM settings WHERE name IN ('quarantine', 'account.unsettled')
     AND (w.state = 'queued' AND w.kind <> 'output' OR
       json_extract(value, '$.class') = 'account' AND w.state IN ('queued','in_doubt','running','collecting') OR
       json_extract(value, '$.class') = 'undecided' AND w.state IN ('queued','in_doubt'))
   ORDER BY name DESC LIMIT 1),
  CASE w.state
  WHEN 'waiting' THEN
    CASE WHEN w.waiting_for = 1 THEN 'waits for the ' ELSE 'waits for ' || w.waiting_for || ' things, among them the ' END ||
    coalesce(
      (SELECT p.label || ', which needs a person: ' || p.error
       FROM dependencies d JOIN named p ON p.id = d.parent AND p.kind = d.parent_kind
       WHERE d.child = w.id AND d.satisfied_at IS NULL AND p.state = 'attention' LIMIT 1),
      (SELECT p.label || ' (' || p.state || ')'
       FROM dependencies d JOIN named p ON p.id = d.parent AND p.kind = d.parent_kind
       WHERE d.child = w.id AND d.satisfied_at IS NULL LIMIT 1))
  WHEN 'queued' THEN CASE
    WHEN w.kind = 'output' AND (SELECT 1 FROM settings WHERE name = 'pause.watching') THEN
      'watching is paused: ' || (SELECT json_extract(value, '$.reason') FROM settings WHERE name = 'pause.watching')
    WHEN w.kind <> 'output' AND (SELECT 1 FROM settings WHERE name = 'pause.spending') THEN
      'spending is paused: ' || (SELECT json_extract(value, '$.reason') FROM settings WHERE name = 'pause.spending')
    WHEN w.due_at > c.now_ms THEN 'tries again at ' || strftime('%Y-%m-%d %H:%M:%S', w.due_at / 1000, 'unixepoch') ||
      ' UTC' || coalesce(': ' || w.note, '')
    WHEN (SELECT json_extract(value, '$.state') FROM settings WHERE name = 'vendor.health') = 'unreachable' THEN
      'the vendor cannot be reached; it is sent as soon as the vendor answers: ' ||
      (SELECT json_extract(value, '$.problem') FROM settings WHERE name = 'vendor.health')
    WHEN w.kind IN ('training','job') AND EXISTS (SELECT 1 FROM intents WHERE lane = 'paid' AND lane_free_at IS NULL) THEN
      'waits its turn: the ' || (SELECT i.kind || ' ' || i.subject ||
        CASE WHEN i.doubt_at IS NULL THEN ' is being sent' ELSE ', whose reply was lost, is being looked for' END
       FROM intents i WHERE i.lane = 'paid' AND i.lane_free_at IS NULL)
    WHEN w.kind = 'job' AND (SELECT count(*) FROM jobs WHERE state = 'running') >=
      coalesce((SELECT json_extract(value, '$.open_jobs') FROM settings WHERE name = 'limits'), 20) THEN
      'waits its turn: as many jobs are open at the vendor as limits.open_jobs allows'
    WHEN w.kind = 'training' AND (SELECT count(*) FROM trainings WHERE state = 'running') >=
      coalesce((SELECT json_extract(value, '$.open_trainings') FROM settings WHERE name = 'limits'), 2) THEN
      'waits its turn: as many trainings are open at the vendor as limits.open_trainings allows'
    ELSE 'is ready to be sent' || coalesce(' (last try: ' || w.note || ')', '') END
  WHEN 'submitting' THEN 'is being sent right now'
  WHEN 'in_doubt' THEN 'the reply was lost, so the vendor is being searched before anything else; ' ||
    CASE WHEN (SELECT 1 FROM settings WHERE name = 'pause.watching') THEN
      'watching is paused: ' || (SELECT json_extract(value, '$.reason') FROM settings WHERE name = 'pause.watching')
    ELSE 'next look at ' || strftime('%Y-%m-%d %H:%M:%S', w.due_at / 1000, 'unixepoch') || ' UTC' END || coalesce(' (' || w.note || ')', '') ||
    coalesce('; a person may decide: ' || (SELECT asked FROM intents i WHERE i.seq = w.intent), '')
  WHEN 'running' THEN
    CASE WHEN (SELECT 1 FROM settings WHERE name = 'pause.watching') THEN
      'the vendor works on it; watching is paused: ' || (SELECT json_extract(value, '$.reason') FROM settings WHERE name = 'pause.watching')
    ELSE 'the vendor works on it; next look at ' || strftime('%Y-%m-%d %H:%M:%S', w.next_at / 1000, 'unixepoch') || ' UTC' END ||
    coalesce('; ' || w.flag, '') || coalesce(' (' || w.note || ')', '')
  WHEN 'collecting' THEN CASE
    WHEN w.kind = 'job' THEN 'the vendor is done; ' || w.waiting_for || CASE w.waiting_for WHEN 1 THEN ' file is' ELSE ' files are' END || ' on the way home' ||
      CASE WHEN (SELECT 1 FROM settings WHERE name = 'pause.watching') THEN ', but watching is paused' ELSE '' END
    WHEN (SELECT 1 FROM settings WHERE name = 'pause.watching') THEN
      'watching is paused: ' || (SELECT json_extract(value, '$.reason') FROM settings WHERE name = 'pause.watching')
    ELSE 'is being downloaded' || coalesce('; last try: ' || w.note, '') END
  WHEN 'attention' THEN 'needs a person: ' || w.error
  WHEN 'succeeded' THEN CASE WHEN w.kind = 'model' AND
      (SELECT remote_status FROM models m WHERE m.id = w.id) = 'deleted' THEN 'deleted at the vendor' ELSE 'done' END
  WHEN 'failed' THEN w.error
  ELSE coalesce(w.error, 'cancelled') END) ||
  CASE WHEN w.cancel_requested_at IS NOT NULL AND w.finished_at IS NULL
    THEN '; cancelled as soon as that is settled' ELSE '' END AS why
FROM work w CROSS JOIN clock c;

CREATE VIEW model_status AS SELECT t.id, t.name, t.state, t.remote_status, y.why, t.remote_id,
  (SELECT count(*) FROM uploads u WHERE u.model_id = t.id AND u.state = 'succeeded') || '/' ||
    (SELECT count(*) FROM uploads u WHERE u.model_id = t.id) AS photos,
  (SELECT r.state FROM trainings r WHERE r.model_id = t.id ORDER BY r.id DESC LIMIT 1) AS training,
  strftime('%Y-%m-%d %H:%M:%S', y.next_at / 1000, 'unixepoch') AS next_at,
  strftime('%Y-%m-%d %H:%M:%S', t.created_at / 1000, 'unixepoch') AS created_at,
  strftime('%Y-%m-%d %H:%M:%S', t.updated_at / 1000, 'unixepoch') AS updated_at,
  strftime('%Y-%m-%d %H:%M:%S', t.finished_at / 1000, 'unixepoch') AS finished_at,
  t.error
FROM models t JOIN why y ON y.kind = 'model' AND y.id = t.id;

CREATE VIEW upload_status AS SELECT t.id, t.file_name, t.state, y.why, m.name AS model, t.purpose, t.remote_id,
  t.bytes, t.media_type, t.sha256,
  strftime('%Y-%m-%d %H:%M:%S', y.next_at / 1000, 'unixepoch') AS next_at,
  strftime('%Y-%m-%d %H:%M:%S', t.created_at / 1000, 'unixepoch') AS created_at,
  strftime('%Y-%m-%d %H:%M:%S', t.updated_at / 1000, 'unixepoch') AS updated_at,
  strftime('%Y-%m-%d %H:%M:%S', t.finished_at / 1000, 'unixepoch') AS finished_at,
  t.error
FROM uploads t JOIN models m ON m.id = t.model_id JOIN why y ON y.kind = 'upload' AND y.id = t.id;

CREATE VIEW training_status AS SELECT t.id, m.name AS model, t.state, t.remote_status, y.why, t.model_id, t.remote_id,
  strftime('%Y-%m-%d %H:%M:%S', t.accepted_at / 1000, 'unixepoch') AS started_at,
  (coalesce(t.finished_at, c.now_ms) - t.accepted_at) / 60000.0 AS minutes, t.flag,
  strftime('%Y-%m-%d %H:%M:%S', y.next_at / 1000, 'unixepoch') AS next_at,
  strftime('%Y-%m-%d %H:%M:%S', t.created_at / 1000, 'unixepoch') AS created_at,
  strftime('%Y-%m-%d %H:%M:%S', t.updated_at / 1000, 'unixepoch') AS updated_at,
  strftime('%Y-%m-%d %H:%M:%S', t.finished_at / 1000, 'unixepoch') AS finished_at,
  t.error
FROM trainings t JOIN models m ON m.id = t.model_id CROSS JOIN clock c JOIN why y ON y.kind = 'training' AND y.id = t.id;

CREATE VIEW job_status AS SELECT t.id, t.type, t.state, y.why, coalesce(m.name, t.model_name) AS model, t.prompt,
  t.remote_id, (SELECT count(*) FROM outputs o WHERE o.job_id = t.id AND o.state = 'succeeded') AS files, t.credits,
  t.step, t.run_id,
  strftime('%Y-%m-%d %H:%M:%S', y.next_at / 1000, 'unixepoch') AS next_at,
  strftime('%Y-%m-%d %H:%M:%S', t.created_at / 1000, 'unixepoch') AS created_at,
  strftime('%Y-%m-%d %H:%M:%S', t.updated_at / 1000, 'unixepoch') AS updated_at,
  strftime('%Y-%m-%d %H:%M:%S', t.finished_at / 1000, 'unixepoch') AS finished_at,
  t.error
FROM jobs t LEFT JOIN models m ON m.id = t.model_id JOIN why y ON y.kind = 'job' AND y.id = t.id;

CREATE VIEW output_status AS SELECT t.id, t.job_id, t.position + 1 AS number, t.media, t.state, y.why, t.path, t.bytes,
  t.media_type, t.sha256, t.remote_id,
  strftime('%Y-%m-%d %H:%M:%S', y.next_at / 1000, 'unixepoch') AS next_at,
  strftime('%Y-%m-%d %H:%M:%S', t.created_at / 1000, 'unixepoch') AS created_at,
  strftime('%Y-%m-%d %H:%M:%S', t.updated_at / 1000, 'unixepoch') AS updated_at,
  strftime('%Y-%m-%d %H:%M:%S', t.finished_at / 1000, 'unixepoch') AS finished_at,
  t.error
FROM outputs t JOIN why y ON y.kind = 'output' AND y.id = t.id;

CREATE VIEW change_status AS SELECT t.id, t.action, m.name AS model, t.state, y.why, t.fields,
  strftime('%Y-%m-%d %H:%M:%S', y.next_at / 1000, 'unixepoch') AS next_at,
  strftime('%Y-%m-%d %H:%M:%S', t.created_at / 1000, 'unixepoch') AS created_at,
  strftime('%Y-%m-%d %H:%M:%S', t.updated_at / 1000, 'unixepoch') AS updated_at,
  strftime('%Y-%m-%d %H:%M:%S', t.finished_at / 1000, 'unixepoch') AS finished_at,
  t.error, t.target_kind, t.target
FROM changes t LEFT JOIN models m ON m.id = t.model_id JOIN why y ON y.kind = 'change' AND y.id = t.id;

-- A run is as far as its members. A member that was retried counts through its newest attempt.
CREATE VIEW run_members AS
SELECT run_id, 'model' AS kind, id, state, NULL AS step FROM models WHERE run_id IS NOT NULL AND retried_by IS NULL UNION ALL
SELECT m.run_id, 'upload', u.id, u.state, NULL FROM uploads u JOIN models m ON m.id = u.model_id
  WHERE m.run_id IS NOT NULL AND u.retried_by IS NULL UNION ALL
SELECT run_id, 'training', id, state, NULL FROM trainings WHERE run_id IS NOT NULL AND retried_by IS NULL UNION ALL
SELECT run_id, 'job', id, state, step FROM jobs WHERE run_id IS NOT NULL AND retried_by IS NULL;

CREATE VIEW run_status AS SELECT r.id, r.name,
  CASE WHEN n.attention > 0 THEN 'attention' WHEN n.live > 0 THEN 'running'
    WHEN n.failed > 0 THEN 'failed' WHEN n.cancelled > 0 THEN 'cancelled' ELSE 'succeeded' END AS state,
  CASE WHEN n.attention > 0 THEN n.attention || ' of ' || n.total || ' pieces of work need a person'
    WHEN n.live > 0 THEN n.done || ' of ' || n.total || ' pieces of work are done'
    WHEN n.failed > 0 THEN n.failed || ' of ' || n.total || ' pieces of work failed'
    WHEN n.cancelled > 0 THEN n.cancelled || ' of ' || n.total || ' pieces of work were cancelled'
    ELSE 'done' END AS why,
  n.done, n.total,
  strftime('%Y-%m-%d %H:%M:%S', r.created_at / 1000, 'unixepoch') AS created_at
FROM runs r JOIN (SELECT run_id, count(*) AS total,
    sum(state = 'attention') AS attention, sum(state = 'failed') AS failed, sum(state = 'cancelled') AS cancelled,
    sum(state = 'succeeded') AS done, sum(state NOT IN ('succeeded','failed','cancelled')) AS live
  FROM run_members GROUP BY run_id) n ON n.run_id = r.id;

CREATE VIEW timeline AS SELECT e.seq,
  strftime('%Y-%m-%d %H:%M:%S', e.at / 1000, 'unixepoch') AS at,
  e.kind, e.subject, e.from_state, e.to_state, e.cause, e.actor,
  coalesce(json_extract(e.detail, '$.note'), json_extract(e.detail, '$.message'), json_extract(e.detail, '$.flag'),
    json_extract(e.detail, '$.failure.message'), json_extract(e.detail, '$.remote_id'), '') AS note
FROM events e;

-- Jobs at the vendor that no row claims. what: candidate (of a call that needs a person),
-- possible_duplicate (of a call that was absent, given up or accepted), training (its own entry in
-- the list), gap (made by another copy of this file before it was put back, it seems), open (a call is
-- being clarified, or its record is not read yet), foreign (somebody else's), bought_twice and not_ours
-- (a person has said so).
CREATE VIEW unclaimed AS SELECT l.remote_id,
  CASE
    WHEN l.answer IS NOT NULL THEN l.answer
    WHEN l.training IS NOT NULL THEN 'training'
    WHEN l.duplicate_of IS NOT NULL THEN 'possible_duplicate'
    WHEN l.foreign_since IS NOT NULL THEN 'foreign'
    WHEN g.outcome = 'parked' OR f.subject IS NOT NULL THEN 'candidate'
    WHEN l.gap = 1 THEN 'gap'
    ELSE 'open' END AS what,
  l.status, l.credits, coalesce(l.training, i.subject, f.subject) AS subject,
  strftime('%Y-%m-%d %H:%M:%S', l.created_at / 1000, 'unixepoch') AS created_at,
  strftime('%Y-%m-%d %H:%M:%S', l.first_seen_at / 1000, 'unixepoch') AS first_seen_at,
  l.answered_by, strftime('%Y-%m-%d %H:%M:%S', l.answered_at / 1000, 'unixepoch') AS answered_at
FROM listed_jobs l
  LEFT JOIN intents i ON i.seq = coalesce(l.duplicate_of, l.reserved_by)
  LEFT JOIN ledger g ON g.intent = l.reserved_by
  LEFT JOIN (SELECT t.remote_id, min(t.subject) AS subject FROM fitting t
    JOIN jobs w ON w.id = t.subject AND w.state = 'attention' AND w.remote_id IS NULL
    GROUP BY t.remote_id) f ON f.remote_id = l.remote_id
WHERE l.history = 0 AND l.claimed_by IS NULL
  AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.remote_id = l.remote_id);

-- What waits for a person: rows in attention, calls in doubt about which a person is asked although
-- the looking goes on, rows that could not be sent for a day, jobs at the vendor that may have been
-- bought twice, jobs of others (one row for all of them), jobs that the vendor's list lacks, a list
-- that cannot be read for hours; and what holds everything up: a quarantine, an account that nobody
-- knows to be ours, a pause that the daemon made, a vendor that has been silent for hours.
-- kind `listed`: a job at the vendor or its list; `daemon`: what holds everything up.
CREATE VIEW attention AS
SELECT w.id, w.kind, w.label, w.error AS why, w.error_class AS reason, w.remote_id,
  strftime('%Y-%m-%d %H:%M:%S', w.updated_at / 1000, 'unixepoch') AS since,
  NULL AS credits, NULL AS jobs, NULL AS subject, w.updated_at AS since_ms
FROM work w WHERE w.state = 'attention'
UNION ALL
SELECT i.subject, i.kind, (SELECT n.label FROM named n WHERE n.id = i.subject AND n.kind = i.kind),
  i.asked, 'asked', NULL,
  strftime('%Y-%m-%d %H:%M:%S', i.doubt_at / 1000, 'unixepoch'), NULL, NULL, NULL, i.doubt_at
FROM intents i WHERE i.settled_at IS NULL AND i.asked IS NOT NULL AND i.doubt_at IS NOT NULL
UNION ALL
SELECT u.remote_id, 'listed', 'job ' || u.remote_id || ' at the vendor',
  'it may have been bought twice' || coalesce(' for ' || u.credits || ' credits', '') ||
    ', beside what ' || coalesce(u.subject, 'a call') || ' was to buy: `darkroom resolve --ours ' || u.remote_id ||
    '` if it is ours, `darkroom resolve ' || coalesce(u.subject, 'ID') || ' --not-this ' || u.remote_id ||
    '` if it is another one''s, `darkroom resolve --not-ours ' || u.remote_id || '` if it is somebody else''s',
  'possible_duplicate', u.remote_id, u.first_seen_at, u.credits, 1, u.subject, l.first_seen_at
FROM unclaimed u JOIN listed_jobs l ON l.remote_id = u.remote_id WHERE u.what = 'possible_duplicate'
UNION ALL
SELECT 'foreign', 'listed', f.jobs || CASE f.jobs WHEN 1 THEN ' job' ELSE ' jobs' END || ' of others at the vendor',
  'no call of ours can have made ' || CASE f.jobs WHEN 1 THEN 'it' ELSE 'them' END || ' (' || f.credits ||
    ' credits), so others use the account, and fewer lost replies can be settled without you: `darkroom ledger` lists ' ||
    'what it is about; `darkroom resolve --not-ours ' || f.remote_id || '` or account.exclusive = false says that this ' ||
    'is so, `darkroom resolve --ours REMOTE` that one of them is ours',
  'foreign', NULL, strftime('%Y-%m-%d %H:%M:%S', f.since / 1000, 'unixepoch'), f.credits, f.jobs, NULL, f.since
FROM (SELECT count(*) AS jobs, coalesce(sum(u.credits), 0.0) AS credits, min(u.remote_id) AS remote_id,
    min(l.foreign_since) AS since
  FROM unclaimed u JOIN listed_jobs l ON l.remote_id = u.remote_id WHERE u.what = 'foreign') f
WHERE f.jobs > 0 AND NOT EXISTS (SELECT 1 FROM listed_jobs WHERE answer = 'not_ours')
  AND NOT EXISTS (SELECT 1 FROM settings WHERE name = 'account.exclusive' AND value <> '"auto"')
UNION ALL
SELECT m.remote_id, 'listed', 'job ' || m.remote_id || ', which the vendor''s list lacks',
  'the vendor accepted it and its list has never shown it, so nothing is found absent by that list; ' ||
    '`darkroom release` says that the list may be believed all the same',
  'lacks', m.remote_id, strftime('%Y-%m-%d %H:%M:%S', m.since / 1000, 'unixepoch'), NULL, 1,
  (SELECT j.id FROM jobs j WHERE j.remote_id = m.remote_id ORDER BY j.id DESC LIMIT 1), m.since
FROM missing m WHERE m.says = 'lacks' AND m.answered_at IS NULL
UNION ALL
SELECT 'list', 'listed', 'the vendor''s job list',
  'nothing can be bought because it cannot be read: ' || json_extract(s.value, '$.why') ||
    '; it is asked for again by itself',
  'unreadable', NULL,
  strftime('%Y-%m-%d %H:%M:%S', json_extract(s.value, '$.since') / 1000, 'unixepoch'), NULL, NULL, NULL,
  json_extract(s.value, '$.since')
FROM settings s WHERE s.name = 'list.unreadable' AND json_extract(s.value, '$.asked') = 1
UNION ALL
SELECT q.id, q.kind, (SELECT n.label FROM named n WHERE n.id = q.id AND n.kind = q.kind),
  'it has been waiting for a day and the last try did not get through: ' || coalesce(q.note, 'no reason is known') ||
    '; it is tried again by itself, `darkroom cancel ' || q.id || '` takes it back',
  'unsent', NULL, strftime('%Y-%m-%d %H:%M:%S', q.created_at / 1000, 'unixepoch'), NULL, NULL, NULL, q.created_at
FROM (SELECT 'model' AS kind, id, note, created_at FROM models WHERE state = 'queued' AND failures > 0
  UNION ALL SELECT 'upload', id, note, created_at FROM uploads WHERE state = 'queued' AND failures > 0
  UNION ALL SELECT 'training', id, note, created_at FROM trainings WHERE state = 'queued' AND failures > 0
  UNION ALL SELECT 'job', id, note, created_at FROM jobs WHERE state = 'queued' AND failures > 0) q
  CROSS JOIN clock c WHERE q.created_at <= c.now_ms - 86400000
UNION ALL
SELECT 'quarantine', 'daemon', 'the quarantine of this database',
  'nothing is sent: ' || json_extract(s.value, '$.reason') || '; `darkroom doctor` explains, `darkroom release` opens it',
  'quarantine', NULL, strftime('%Y-%m-%d %H:%M:%S', json_extract(s.value, '$.at') / 1000, 'unixepoch'),
  NULL, NULL, NULL, json_extract(s.value, '$.at')
FROM settings s WHERE s.name = 'quarantine'
UNION ALL
SELECT 'account', 'daemon', 'whose account this is', 'nothing is sent: ' || json_extract(s.value, '$.reason'),
  'account', NULL, strftime('%Y-%m-%d %H:%M:%S', s.updated_at / 1000, 'unixepoch'), NULL, NULL, NULL, s.updated_at
FROM settings s WHERE s.name = 'account.unsettled' AND json_extract(s.value, '$.class') = 'undecided'
  AND NOT EXISTS (SELECT 1 FROM settings WHERE name = 'quarantine')
UNION ALL
SELECT substr(s.name, 7), 'daemon', 'the pause of ' || substr(s.name, 7),
  substr(s.name, 7) || ' is paused: ' || json_extract(s.value, '$.reason') ||
    CASE json_extract(s.value, '$.by') WHEN 'disk' THEN '; it goes on by itself once there is room'
      ELSE '; `darkroom resume ' || substr(s.name, 7) || '` once that is mended' END,
  CASE json_extract(s.value, '$.by') WHEN 'disk' THEN 'disk' WHEN 'daemon' THEN 'credits' ELSE 'key' END, NULL,
  strftime('%Y-%m-%d %H:%M:%S', json_extract(s.value, '$.at') / 1000, 'unixepoch'), NULL, NULL, NULL,
  json_extract(s.value, '$.at')
FROM settings s WHERE s.name IN ('pause.spending','pause.watching')
  AND json_extract(s.value, '$.by') IN ('key check','daemon','disk')
UNION ALL
SELECT 'vendor', 'daemon', 'the vendor',
  'it has not answered for hours, so nothing goes on: ' || coalesce(json_extract(s.value, '$.problem'), 'no reason is known') ||
    '; it is asked again by itself, `darkroom doctor` tries it now',
  'unreachable', NULL, strftime('%Y-%m-%d %H:%M:%S', json_extract(s.value, '$.since') / 1000, 'unixepoch'),
  NULL, NULL, NULL, json_extract(s.value, '$.since')
FROM settings s CROSS JOIN clock c WHERE s.name = 'vendor.health' AND json_extract(s.value, '$.state') = 'unreachable'
  AND json_extract(s.value, '$.since') <= c.now_ms - 7200000;

-- The book balances if `difference` is 0 and `accepted` equals `accepted_events`: calls are counted
-- from the events, what they came to from the ledger.
CREATE VIEW spend_proof AS SELECT c.paid_calls, b.accepted, b.refused, b.not_sent, b.absent, b.parked, b.open,
  c.paid_calls - b.accepted - b.refused - b.not_sent - b.absent - b.parked - b.open AS difference,
  c.accepted_events, b.credits, u.unclaimed, u.unclaimed_credits, u.possible_duplicates,
  u.possible_duplicate_credits, u.bought_twice, u.bought_twice_credits
FROM (SELECT
    coalesce(sum(cause = 'send_started'), 0) AS paid_calls,
    -- What no call of the row can have bought may be taken over too: none went out, or each was
    -- refused. And what a row has may be exchanged for another job, which is no further purchase.
    coalesce(sum(cause = 'accepted' OR cause IN ('found','adopt') AND
      (SELECT sum(p.cause = 'send_started') > sum(p.cause = 'call_failed' AND p.to_state <> 'in_doubt')
         AND sum(p.cause IN ('accepted','found','adopt')) = 0
       FROM events p WHERE p.subject = e.subject AND p.seq < e.seq)), 0) AS accepted_events
  FROM events e WHERE kind IN ('training','job')) c,
  (SELECT
    coalesce(sum(outcome = 'accepted'), 0) AS accepted, coalesce(sum(outcome = 'refused'), 0) AS refused,
    coalesce(sum(outcome = 'not_sent'), 0) AS not_sent, coalesce(sum(outcome = 'absent'), 0) AS absent,
    coalesce(sum(outcome = 'parked'), 0) AS parked, coalesce(sum(outcome = 'open'), 0) AS open,
    coalesce(sum(credits), 0) AS credits
  FROM ledger) b,
  (SELECT count(*) FILTER (WHERE what IN ('possible_duplicate','foreign')) AS unclaimed,
    coalesce(sum(credits) FILTER (WHERE what IN ('possible_duplicate','foreign')), 0) AS unclaimed_credits,
    count(*) FILTER (WHERE what = 'possible_duplicate') AS possible_duplicates,
    coalesce(sum(credits) FILTER (WHERE what = 'possible_duplicate'), 0) AS possible_duplicate_credits,
    count(*) FILTER (WHERE what = 'bought_twice') AS bought_twice,
    coalesce(sum(credits) FILTER (WHERE what = 'bought_twice'), 0) AS bought_twice_credits
  FROM unclaimed) u;
